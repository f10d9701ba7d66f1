"""The actor kernel alone: messages, asks, spawning and memory, beside the loop's raw limit and a peer in the same run.

    python bench/kernel.py [--json] [--repeats N] [--loop asyncio|uvloop]

Rates are per second of the process's CPU time (other work on the machine counts little), the best of the repeats; wall
time stands beside them. raw: a deque with one bare future, drained per wake-up, without bounds, supervision, deadlines
or time stamps; `create_task` for spawning. peer: pykka, whose actors are threads. Memory is what Python allocated
(tracemalloc). The floors are those of the kernel's design, for asyncio's loop: a figure below its floor is shown as a
MISS and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import platform
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.ref import Ref
from callboard.kernel.supervisor import Supervisor

T = TypeVar("T")

TELLS = 400_000
ASKS = 60_000
CALLERS = 64
SPAWNS = 20_000
PEER_MESSAGES = 20_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    loop: str  # asyncio, uvloop, or threads for the peer
    who: str  # callboard, raw or pykka
    what: str  # what was done
    unit: str  # "per s" (of CPU time) or "bytes"
    value: float
    cpu_us: float | None  # CPU microseconds for each
    wall_per_s: float | None
    floor: float | None  # for callboard on asyncio's loop

    @property
    def is_missed(self) -> bool:
        if self.floor is None:
            return False
        return self.value > self.floor if self.unit == "bytes" else self.value < self.floor


FLOORS = {
    "tell": 1_000_000,
    "ask, 1 caller": 70_000,
    "ask, 64 callers": 180_000,
    "spawn": 20_000,
    "memory of an idle one": 6 * 1024,
}


class Sink(Actor):
    """Counts and answers."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: object) -> object:
        self.count += 1
        return self.count


class Watch:
    """CPU and wall seconds of a block."""

    cpu_s = wall_s = 0.0

    def __enter__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall


# What is measured. Each gives how often it did its thing.


async def callboard_tell(watch: Watch) -> int:
    async with Supervisor([ChildSpec(Sink, id="sink")]) as sup:
        tell = sup.ref("sink").tell
        with watch:
            for n in range(TELLS):
                await tell(n)
            await sup.ref("sink").ask("last")
    return TELLS


async def callboard_try_tell(watch: Watch) -> int:
    async with Supervisor([ChildSpec(Sink, id="sink")]) as sup:
        try_tell, tell = sup.ref("sink").try_tell, sup.ref("sink").tell
        with watch:
            for n in range(TELLS):
                if not try_tell(n):
                    await tell(n)
            await sup.ref("sink").ask("last")
    return TELLS


async def callboard_ask(watch: Watch) -> int:
    async with Supervisor([ChildSpec(Sink, id="sink")]) as sup:
        ref = sup.ref("sink")
        with watch:
            await _ask(ref, ASKS)
    return ASKS


async def callboard_ask_64(watch: Watch) -> int:
    async with Supervisor([ChildSpec(Sink, id="sink")]) as sup:
        ref = sup.ref("sink")
        with watch:
            await asyncio.gather(*[_ask(ref, ASKS // CALLERS) for _ in range(CALLERS)])
    return ASKS // CALLERS * CALLERS


async def _ask(ref: Ref, times: int) -> None:
    for n in range(times):
        await ref.ask(n, timeout=5.0)


class RawBox:
    """The least that a mailbox can be: a deque and one bare future."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: deque[tuple[object, asyncio.Future[object] | None]] = deque()
        self.waker: asyncio.Future[None] | None = None

    def put(self, message: object, reply: asyncio.Future[object] | None) -> None:
        self.queue.append((message, reply))
        if self.waker is not None and not self.waker.done():
            self.waker.set_result(None)

    async def consume(self, messages: int) -> None:
        seen = 0
        while seen < messages:
            while self.queue:
                message, reply = self.queue.popleft()
                seen += 1
                if reply is not None and not reply.done():
                    reply.set_result(message)
            if seen < messages:
                self.waker = self.loop.create_future()
                await self.waker
                self.waker = None


async def raw_tell(watch: Watch) -> int:
    box = RawBox()
    with watch:
        consumer = asyncio.create_task(box.consume(TELLS))
        for n in range(TELLS):
            box.put(n, None)
            if n % 256 == 255:
                await asyncio.sleep(0)
        await consumer
    return TELLS


async def raw_ask(watch: Watch, callers: int = 1) -> int:
    box = RawBox()
    each = ASKS // callers
    with watch:
        consumer = asyncio.create_task(box.consume(each * callers))
        await asyncio.gather(*[_raw_ask(box, each) for _ in range(callers)])
        await consumer
    return each * callers


async def _raw_ask(box: RawBox, times: int) -> None:
    for n in range(times):
        reply: asyncio.Future[object] = box.loop.create_future()
        box.put(n, reply)
        await reply


async def raw_ask_64(watch: Watch) -> int:
    return await raw_ask(watch, CALLERS)


async def callboard_spawn(watch: Watch) -> int:
    async with Supervisor([]) as sup:
        with watch:
            await _spawn(sup)
    return SPAWNS


async def _spawn(sup: Supervisor) -> None:
    for n in range(SPAWNS):
        await sup.start_child(ChildSpec(Sink, id=f"sink-{n}"))


async def raw_spawn(watch: Watch) -> int:
    with watch:
        tasks = await _spawn_tasks()
    for task in tasks:
        task.cancel()
    return SPAWNS


async def _spawn_tasks() -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(_idle()) for _ in range(SPAWNS)]
    await asyncio.sleep(0)
    return tasks


async def _idle() -> None:
    await asyncio.get_running_loop().create_future()


async def callboard_memory() -> float:
    async with Supervisor([]) as sup:
        return await _bytes_of(lambda: _spawn(sup))


async def raw_memory() -> float:
    kept: list[asyncio.Task[None]] = []

    async def spawn() -> None:
        kept.extend(await _spawn_tasks())

    return await _bytes_of(spawn)


async def _bytes_of(spawn: Callable[[], Awaitable[object]]) -> float:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await spawn()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / SPAWNS


def pykka_tell_and_ask() -> list[tuple[str, float, float]]:
    """What pykka does, each with its CPU and wall seconds per message."""
    import pykka

    class PykkaSink(pykka.ThreadingActor):
        count = 0

        def on_receive(self, message: object) -> object:
            self.count += 1
            return self.count

    ref = PykkaSink.start()
    cpu, wall = time.process_time(), time.perf_counter()
    for n in range(PEER_MESSAGES):
        ref.tell(n)
    ref.ask("last")
    told = ("tell", (time.process_time() - cpu) / PEER_MESSAGES, (time.perf_counter() - wall) / PEER_MESSAGES)
    cpu, wall = time.process_time(), time.perf_counter()
    for n in range(PEER_MESSAGES // 4):
        ref.ask(n)
    each = PEER_MESSAGES // 4
    asked = ("ask, 1 caller", (time.process_time() - cpu) / each, (time.perf_counter() - wall) / each)
    ref.stop()
    return [told, asked]


# How it is measured and shown.

TIMED: list[tuple[str, str, Callable[[Watch], Awaitable[int]]]] = [
    ("callboard", "tell", callboard_tell),
    ("callboard", "try_tell, else tell", callboard_try_tell),
    ("raw", "tell", raw_tell),
    ("callboard", "ask, 1 caller", callboard_ask),
    ("raw", "ask, 1 caller", raw_ask),
    ("callboard", "ask, 64 callers", callboard_ask_64),
    ("raw", "ask, 64 callers", raw_ask_64),
    ("callboard", "spawn", callboard_spawn),
    ("raw", "spawn", raw_spawn),
]
MEMORY: list[tuple[str, Callable[[], Awaitable[float]]]] = [("callboard", callboard_memory), ("raw", raw_memory)]


def measure(loop: str, repeats: int) -> list[Figure]:
    figures = []
    for who, what, action in TIMED:
        cpu_s, wall_s = min(_timed(loop, action) for _ in range(repeats))
        figures.append(Figure(loop, who, what, "per s", 1 / cpu_s, cpu_s * 1e6, 1 / wall_s, _floor(loop, who, what)))
    what = "memory of an idle one"
    for who, spawn in MEMORY:
        figures.append(Figure(loop, who, what, "bytes", _run(loop, spawn), None, None, _floor(loop, who, what)))
    return figures


def _floor(loop: str, who: str, what: str) -> float | None:
    return FLOORS.get(what) if who == "callboard" and loop == "asyncio" else None


def measure_peer() -> list[Figure]:
    if importlib.util.find_spec("pykka") is None:
        return []
    return [
        Figure("threads", "pykka", what, "per s", 1 / cpu_s, cpu_s * 1e6, 1 / wall_s, None)
        for what, cpu_s, wall_s in pykka_tell_and_ask()
    ]


def _timed(loop: str, action: Callable[[Watch], Awaitable[int]]) -> tuple[float, float]:
    """CPU and wall seconds for each."""
    gc.collect()
    watch = Watch()
    count = _run(loop, lambda: action(watch))
    return watch.cpu_s / count, watch.wall_s / count


def _run(loop: str, action: Callable[[], Awaitable[T]]) -> T:
    async def awaited() -> T:
        return await action()

    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(awaited())
    return asyncio.run(awaited())


def show(figures: list[Figure]) -> None:
    print(
        f"Python {platform.python_version()}, {platform.machine()}; rates per second of CPU time, best of the repeats"
    )
    print(f"{'loop':8} {'who':10} {'what':24} {'value':>12} {'CPU us':>8} {'wall /s':>12} {'floor':>12}")
    for figure in figures:
        cpu_us = "" if figure.cpu_us is None else f"{figure.cpu_us:.2f}"
        wall = "" if figure.wall_per_s is None else f"{figure.wall_per_s:,.0f}"
        floor = "" if figure.floor is None else f"{figure.floor:,.0f}"
        verdict = "" if figure.floor is None else "MISS" if figure.is_missed else "ok"
        value = f"{figure.value:,.0f}{' B' if figure.unit == 'bytes' else ''}"
        print(
            f"{figure.loop:8} {figure.who:10} {figure.what:24} {value:>12} {cpu_us:>8} {wall:>12} {floor:>12} {verdict}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the actor kernel.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], help="one loop instead of both")
    options = parser.parse_args()
    loops = [options.loop] if options.loop else ["asyncio", "uvloop"]
    if importlib.util.find_spec("uvloop") is None and "uvloop" in loops:
        loops.remove("uvloop")
    figures = [figure for loop in loops for figure in measure(loop, options.repeats)] + measure_peer()
    if options.json:
        lines = [asdict(figure) | {"is_missed": figure.is_missed} for figure in figures]
        print(json.dumps({"python": platform.python_version(), "figures": lines}))
    else:
        show(figures)
    return int(any(figure.is_missed for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
