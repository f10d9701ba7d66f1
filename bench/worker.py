"""A worker process of bench/throughput.py: says "ready", works from "go" to SIGTERM, then prints its figures."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import uvloop
from workload import registry

from callboard import Runtime, Settings
from callboard.runtime.running import tune_interpreter
from callboard.storage.sqlite.driver import SqliteStore


async def work(url: str, slots: int) -> None:
    runtime = Runtime(url, settings=Settings(retention="7d"), migrate=True)
    runtime.include(registry)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with runtime:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with runtime.work({"default": slots}) as node:
            await stop.wait()
            figures: dict[str, float] = {"finished": node.parts.finished}
            if isinstance(node.store, SqliteStore):
                waits = node.store.lock_waits()
                figures["lock_wait_p99_ms"] = round(waits.p99_ms, 1)
                figures["lock_wait_max_ms"] = round(waits.longest_ms, 1)
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    tune_interpreter()
    uvloop.run(work(sys.argv[1], int(sys.argv[2])))
