"""The parts of a job's life that a bench times: enqueued, drained by worker processes, started on an idle node."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from workload import latency, noop
from workload import registry as jobs

from callboard import Runtime, Settings

from .figures import Clock, Rate, say_milliseconds
from .ground import Ground
from .workers import Worker

BULK = 1000
TOGETHER = 100
WARM, TRIES = 20, 300  # jobs for an idle node, one after the other: connections are made, statements planned
APART_S = 0.06  # between two of them: beyond the time over which stores gather wake-ups


def runtime_of(url: str) -> Runtime:
    """A runtime with the bench's jobs; an empty store is given its tables."""
    runtime = Runtime(url, settings=Settings(retention="7d"), migrate=True)
    runtime.include(jobs)
    return runtime


async def enqueue(runtime: Runtime, count: int, ground: Ground | None = None, *, prefix: str = "") -> dict[str, Any]:
    """Enqueue `count` jobs: some one at a time, some a hundred at a time, most a thousand a batch."""
    singles, together = max(min(count // 100, 3000), 200), max(min(count // 10, 40_000), 2000)
    bulk = count - singles - together

    async def one_by_one() -> None:
        for number in range(singles):
            await noop.enqueue(number, "x")

    async def by_hundreds() -> None:
        for start in range(0, together, TOGETHER):
            await asyncio.gather(*(noop.enqueue(start + n, "x") for n in range(TOGETHER)))

    async def in_bulk() -> None:
        for start in range(0, bulk, BULK):
            await runtime.enqueue_many([noop.bind(n, "x") for n in range(start, min(start + BULK, bulk))])

    found: dict[str, Any] = {}
    async with runtime:
        for what, number, part in (
            ("enqueue one by one", singles, one_by_one),
            ("enqueue, 100 awaits at a time", together, by_hundreds),
            ("enqueue_many, 1,000 a batch", bulk, in_bulk),
        ):
            used_s = ground.server_s() if ground is not None else 0.0
            with Clock(number) as clock:
                await part()
            server_us = ground.server_us(used_s, number) if ground is not None else None
            found[what] = Rate(prefix + what, number, clock.seconds, clock.cpu_us, server_us).say()
    return found


async def drain(
    ground: Ground, url: str, processes: int, slots: int, count: int, *, what: str = "drain"
) -> dict[str, Any]:
    """Have worker processes do `count` jobs that wait. From their `go` to the last accepted finish."""
    runtime = runtime_of(url)
    workers = [Worker(url, slots) for _ in range(processes)]
    try:
        async with runtime:
            for worker in workers:
                await worker.ready()
            used_s = ground.server_s()
            with Clock(count) as clock:
                for worker in workers:
                    worker.go()
                fifths = await watch(runtime, count, clock.began)
            server_us = ground.server_us(used_s, count)
        for worker in workers:
            worker.stop()
    finally:
        for worker in workers:
            worker.kill()
    extra: dict[str, Any] = {"fifths": fifths, "last to first": round(fifths[-1] / fifths[0], 2)}
    if processes > 1:
        extra["shares"] = [round(worker.figures["finished"] / count, 2) for worker in workers]
    extra |= _figures_of(workers)
    worker_us = sum(worker.cpu_s for worker in workers) / count * 1e6
    named = f"{what}, {processes} process{'es' if processes > 1 else ''}, slots {slots}"
    return Rate(named, count, clock.seconds, worker_us, server_us, extra).say()


def _figures_of(workers: list[Worker]) -> dict[str, Any]:
    """What workers say of themselves: of several the worst."""
    found: dict[str, Any] = {"rss_mb": max(worker.rss_mb for worker in workers)}
    for name in ("rss_after_10000_mb", "claimed_at_once", "lock_wait_p99_ms", "lock_wait_max_ms"):
        values = [worker.figures[name] for worker in workers if name in worker.figures]
        if values:
            found[name] = max(values)
    for name in ("claim_p50_ms", "claim_p99_ms"):
        claims = [worker.figures[name] for worker in workers if name in worker.figures]
        if claims:
            found[name] = [max(part) for part in zip(*claims, strict=True)]
    return found


async def watch(runtime: Runtime, count: int, began: float) -> list[int]:
    """Rates of the five fifths; returns when the last job has ended, each once."""
    rates: list[int] = []
    last = began
    while True:
        await asyncio.sleep(0.02)
        done = (await runtime.counts())["completed"]
        while len(rates) < 5 and done >= count / 5 * (len(rates) + 1):
            now = time.perf_counter()
            rates.append(round(count / 5 / (now - last)) if now > last else 0)
            last = now
        if done >= count:
            assert done == count, f"{done} jobs ended, {count} were enqueued"
            return rates


async def latency_here(runtime: Runtime, work: AbstractAsyncContextManager[object]) -> dict[str, Any]:
    """From the call of enqueue to the first line of the handler, in one process."""
    async with work:
        return say_milliseconds("enqueue -> start of the handler", await _waits(300, 0.005))


async def latency_from_outside(url: str, *, prefix: str = "") -> dict[str, Any]:
    """The same, when the worker is another process than the producer."""
    runtime = runtime_of(url)
    worker = Worker(url, 10)
    try:
        async with runtime:
            await worker.ready()
            worker.go()
            await _waits(WARM, 0.0)
            waits = await _waits(TRIES, APART_S)
        worker.stop()
    finally:
        worker.kill()
    return say_milliseconds(f"{prefix}enqueue -> start, in another process", waits)


async def _waits(tries: int, apart_s: float) -> list[float]:
    """Seconds from enqueue to start, of jobs one after the other."""
    waits: list[float] = []
    for _ in range(tries):
        waits.append(await (await latency.enqueue(time.monotonic_ns())).result(timeout=30) / 1e9)
        await asyncio.sleep(apart_s)
    return waits
