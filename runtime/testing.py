"""`runtime.testing()`: jobs run when the test says so, in memory, in virtual time.

The runtime is open and works, but claims nothing until `run_until_idle` or `advance`. Its clock stands still except in
`advance`, which goes from one moment at which something is due to the next and lets everything settle there. Settled
means that for several turns of the event loop no actor handled a message and that every attempt waits for the clock.

The event loop is the test's own, and so is its time: a handler that waits for a socket is waited for, in real seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..actors.attempt import Attempt
from ..actors.wakeups import Heard
from ..actors.worker import STUBBORN_S, SWEEP_S
from ..kernel.clock import SystemClock
from ..kernel.durations import Duration, seconds
from ..kernel.errors import CallboardError
from ..storage.ids import format_id
from ..storage.memory.driver import MemoryStore
from .enqueued import Enqueued
from .environment import Environment
from .handle import StoredJob
from .job import InvalidOption, Job
from .settings import load_settings
from .virtual_clock import VirtualClock
from .waiting import where

if TYPE_CHECKING:
    from .runtime import Runtime

QUIET_TURNS = 12  # a message reaches the next actor within four
PATIENCE_S = 10.0  # real seconds that handlers may take for what is not virtual
# Jumps of the clock must neither cost leases nor have ended jobs pruned before a test has looked at them.
SETTINGS = {"lease": "1d", "leader_lease": "1d", "retention": "3650d"}


class NotIdle(CallboardError, TimeoutError):
    """The runtime did not come to rest; the jobs go on."""


@asynccontextmanager
async def testing(runtime: Runtime, clock: str, seed: int) -> AsyncIterator[Testing]:
    """See `Runtime.testing`."""
    if clock != "virtual":
        raise InvalidOption(f'clock: expected "virtual", found {clock!r}')
    if runtime.is_open:
        raise InvalidOption("testing: expected a runtime that is not open, found one within `async with`")
    virtual = VirtualClock(wall_ms=SystemClock().wall_ms())
    store = MemoryStore(clock=virtual)
    rng = random.Random(seed)
    before = runtime._environment, runtime.settings
    runtime._environment = Environment(
        virtual, rng, rng.randbytes, beats_in_thread=False, store_of=lambda url: store.another()
    )
    runtime.settings = load_settings(runtime.settings, overrides=SETTINGS)
    flow = _Flow(virtual)
    try:
        async with runtime:
            node = runtime.node
            node.parts.is_held = True
            hurry = asyncio.Event()
            await node.start_work(node.slots_of(None), hurry)
            try:
                yield Testing(runtime, virtual, store)
            finally:
                flow.start()
                hurry.set()
                await node.stop_work()
    finally:
        await flow.stop()
        runtime._environment, runtime.settings = before


class Testing:
    """A runtime under test: lets its jobs run, moves its clock, looks at what was enqueued."""

    __test__ = False  # pytest: this is no class of tests

    def __init__(self, runtime: Runtime, clock: VirtualClock, store: MemoryStore) -> None:
        self._node = runtime.node
        self._clock = clock
        self._store = store
        self._enqueued = Enqueued(runtime, store.jobs)

    @property
    def now(self) -> datetime:
        """The virtual time, aware UTC. It begins at the machine's."""
        return self._clock.now()

    async def run_until_idle(self, *, timeout: float = PATIENCE_S) -> None:
        """Run jobs until nothing more can happen at the present virtual time.

        Then every job has ended, waits for its time (a delay, a retry, a snooze), lies in a paused queue, or its
        handler waits in `ctx.sleep` or for another job's result. Raises `NotIdle` when that takes longer than `timeout`
        real seconds, saying which handlers it waited for.
        """
        async with self._running():
            await self._settle(timeout)

    async def advance(self, duration: Duration, *, timeout: float = PATIENCE_S) -> None:
        """Let virtual time pass, running everything in it that falls due, in order.

        As `run_until_idle`, again at each moment at which something is due; `timeout` real seconds for each of them.
        """
        ends = self._clock.monotonic() + seconds(duration, "advance")
        async with self._running():
            await self._settle(timeout)
            while (left_s := ends - self._clock.monotonic()) > 0:
                self._clock.advance(min(left_s, self._next_s()))
                await self._settle(timeout)

    def jobs(self, job: Job[..., Any] | str | None = None) -> list[StoredJob]:
        """All jobs enqueued since the block began, or those of one kind, oldest first, as they are stored now."""
        return self._enqueued.jobs(job)

    def assert_enqueued(self, job: Job[..., Any] | str, /, **arguments: Any) -> StoredJob:
        """Fail unless such a job was enqueued, with these arguments among its own; whether it has run does not matter.

        Gives the latest that fits. Arguments are named as the handler names them, also those that were passed by
        position or left to their defaults. The `AssertionError` lists what was enqueued instead.
        """
        return self._enqueued.expect(job, arguments)

    def assert_not_enqueued(self, job: Job[..., Any] | str, /, **arguments: Any) -> None:
        """Fail if such a job was enqueued with these arguments among its own."""
        self._enqueued.refuse(job, arguments)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Within the block jobs are claimed."""
        parts = self._node.parts
        known = self._node.queues
        slots = self._node.slots_of([row.name for row in await self._store.queues.list()] or ["default"])
        fresh = {queue: count for queue, count in slots.items() if queue not in known}
        if fresh:
            await self._node.also_work(fresh)
        parts.is_held = False
        await self._node.root.ref("wakeups").tell(Heard(()))  # look everywhere
        try:
            yield
        finally:
            parts.is_held = True

    def _next_s(self) -> float:
        """Seconds until something may be due."""
        now, wall_ms = self._clock.monotonic(), self._clock.wall_ms()
        moments = [self._clock.next_end() - now]
        run_at = self._store.next_run_at(wall_ms)
        if run_at is not None:
            moments.append((run_at - wall_ms) / 1000)
        attempts = self._attempts()
        if attempts:
            moments.append(self._node.parts.lease_s / 3)  # heartbeats must not be missed
        for attempt in attempts:
            ends = attempt.deadline if attempt.stop is None else attempt.stopped_at + STUBBORN_S
            if ends is not None:
                moments.append(ends + SWEEP_S - now)
        return max(min(moments), 0.001)

    def _attempts(self) -> list[Attempt]:
        return [attempt for running in self._node.parts.running.values() for attempt in running.values()]

    async def _settle(self, timeout_s: float) -> None:
        real = SystemClock()
        limit = real.monotonic() + timeout_s
        quiet = idle_turns = 0
        before = -1
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0 if idle_turns < 100 else min(0.0001 * idle_turns / 100, 0.01))
            handled = sum(info.handled for info in self._node.root.which_children())
            asleep = self._clock.asleep()
            busy = [attempt for attempt in self._attempts() if attempt.job.id not in asleep]
            is_same = handled == before
            before = handled
            quiet = quiet + 1 if is_same and not busy else 0
            idle_turns = idle_turns + 1 if is_same else 0
            if real.monotonic() > limit:
                raise NotIdle(_restless(busy if idle_turns > QUIET_TURNS else [], timeout_s))


class _Flow:
    """Lets virtual time pass by itself while the runtime stops, for handlers that do not heed their cancellation."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._flow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _flow(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self._clock.advance(SWEEP_S)


def _restless(busy: list[Attempt], timeout_s: float) -> str:
    head = f"the runtime was not idle after {timeout_s:g} real seconds: "
    if not busy:
        return head + "work goes on without end (a job that puts itself back without delay, or enqueues another?)"
    lines = [
        f"\n  {attempt.job.name} {format_id(attempt.job.id)}, attempt {attempt.job.attempt}, "
        + (f"at {where(attempt.task)}" if attempt.task is not None else "starting")
        for attempt in busy
    ]
    return (
        head + "these handlers wait for something that is not virtual (expected: ctx.sleep for pauses,"
        " or a longer timeout=):" + "".join(lines)
    )
