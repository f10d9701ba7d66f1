"""A worker process of bench/throughput.py: says "ready", works from "go" to SIGTERM, then prints its figures."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil
import uvloop
from workload import registry

from callboard import Runtime, Settings
from callboard.runtime.node import Node
from callboard.runtime.running import tune_interpreter
from callboard.storage.ports.jobs import JobStore
from callboard.storage.records import ClaimReply, ClaimRequest
from callboard.storage.sqlite.driver import SqliteStore
from harness.figures import percentile

FEW = 10_000  # jobs after which the memory is looked at


class Claims:
    """Claims that a node made: how many jobs, and how long it took."""

    def __init__(self, jobs: JobStore) -> None:
        self._claim = jobs.claim
        self.made: list[tuple[int, float]] = []
        jobs.claim = self._timed  # type: ignore[method-assign]

    def figures(self) -> dict[str, Any]:
        """The usual batch, and how long it took in the first and the last fifth of the claims that found something."""
        found = [(count, seconds) for count, seconds in self.made if count]
        if not found:
            return {}
        fifth = max(len(found) // 5, 1)
        first, last = ([seconds for _, seconds in part] for part in (found[:fifth], found[-fifth:]))
        return {
            "claimed_at_once": round(sum(count for count, _ in found) / len(found)),
            "claim_p50_ms": [round(percentile(part, 0.5) * 1000, 1) for part in (first, last)],
            "claim_p99_ms": [round(percentile(part, 0.99) * 1000, 1) for part in (first, last)],
        }

    async def _timed(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        began = time.perf_counter()
        replies = await self._claim(requests, boot_id=boot_id, lease_ms=lease_ms)
        self.made.append((sum(len(reply.jobs) for reply in replies), time.perf_counter() - began))
        return replies


async def work(url: str, slots: int) -> None:
    runtime = Runtime(url, settings=Settings(retention="7d"), migrate=True)
    runtime.include(registry)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with runtime:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        claims = Claims(runtime.node.store.jobs)
        async with runtime.work({"default": slots}) as node:
            looking = asyncio.create_task(rss_after_few(node))
            await stop.wait()
            looking.cancel()
            figures: dict[str, Any] = {"finished": node.parts.finished, **claims.figures()}
            if looking.done() and not looking.cancelled():
                figures["rss_after_10000_mb"] = looking.result()
            if isinstance(node.store, SqliteStore):
                waits = node.store.lock_waits()
                figures["lock_wait_p99_ms"] = round(waits.p99_ms, 1)
                figures["lock_wait_max_ms"] = round(waits.longest_ms, 1)
    print(json.dumps(figures), flush=True)


async def rss_after_few(node: Node) -> float:
    """Resident memory, in MB, when the node has finished its first jobs."""
    while node.parts.finished < FEW:  # noqa: ASYNC110 - a counter, and it must cost those who count nothing
        await asyncio.sleep(0.05)
    return round(psutil.Process().memory_info().rss / 2**20, 1)


if __name__ == "__main__":
    tune_interpreter()
    uvloop.run(work(sys.argv[1], int(sys.argv[2])))
