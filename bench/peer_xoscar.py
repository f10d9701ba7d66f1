"""xoscar between two processes, run by its own interpreter: see bench/harness/peers.py, which installs it.

    peer_xoscar.py link ASKS CALLERS TELLS      what asks and one-way messages a second it carries
    peer_xoscar.py serve                        the other end

The remote call by its own sockets, as it comes, on uvloop; one-way messages are its `tell`, in batches of 256.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import uvloop
import xoscar  # type: ignore[import-not-found]

BATCH = 256


class Sink(xoscar.Actor):  # type: ignore[misc]
    """Counts and answers."""

    def __init__(self) -> None:
        self.count = 0

    @xoscar.extensible  # type: ignore[untyped-decorator]
    def take(self, number: int) -> int:
        self.count += 1
        return number

    def total(self) -> int:
        return self.count


async def serve() -> None:
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    await xoscar.create_actor(Sink, uid="sink", address=pool.external_address)
    print(pool.external_address, flush=True)
    await pool.join()


async def measure(address: str, asks: int, callers: int, tells: int) -> dict[str, float]:
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    sink = await xoscar.actor_ref(uid="sink", address=address)
    took: list[float] = []

    async def call() -> None:
        for number in range(asks // callers):
            began = time.perf_counter()
            await sink.take(number)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(call() for _ in range(callers)))
    took.clear()
    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    asked_s = time.perf_counter() - began
    took.sort()
    before = await sink.total()
    began = time.perf_counter()
    for first in range(0, tells, BATCH):
        await sink.take.batch(*(sink.take.delay(number) for number in range(first, first + BATCH)))
    assert await sink.total() - before == len(range(0, tells, BATCH)) * BATCH  # a batch is answered when it was taken
    told_s = time.perf_counter() - began
    await pool.stop()
    return {
        "ask_per_s": len(took) / asked_s,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "tell_per_s": tells / told_s,
    }


def link(asks: int, callers: int, tells: int) -> None:
    other = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        address = other.stdout.readline().strip()
        print(json.dumps(uvloop.run(measure(address, asks, callers, tells))))
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        uvloop.run(serve())
    else:
        link(*map(int, sys.argv[2:]))
