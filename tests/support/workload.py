"""A small random workload for simulations: jobs of every temper, nodes that drain, come back, and may crash."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from callboard import (
    Cancel,
    Ctx,
    Discard,
    Handle,
    JobCancelled,
    JobDiscarded,
    JobFailed,
    JobState,
    Registry,
    Retry,
    RetryAfter,
    Runtime,
    Settings,
    Snooze,
    StoredJob,
)
from callboard.testing import Machine

STORE = "sqlite:///cluster.db"  # in a simulation: one board in memory that all nodes share
LEASE_S = 5.0
SETTINGS = Settings(lease=LEASE_S, grace="2s", max_crashes=1000)
MAX_ATTEMPTS = 4
LONGEST_S = 3600.0  # virtual; a job that has not ended by then is stuck

# What each temper comes to when nobody cancels the job, and after how many counted attempts.
ENDS = {
    "steady": (JobState.COMPLETED, 1),
    "long": (JobState.COMPLETED, 1),  # longer than the grace: a drain interrupts it
    "flaky": (JobState.COMPLETED, 3),
    "hopeless": (JobState.FAILED, MAX_ATTEMPTS),
    "hanging": (JobState.FAILED, MAX_ATTEMPTS),
    "later": (JobState.COMPLETED, 3),  # RetryAfter is a retry at a moment of the handler's choice
    "sleepy": (JobState.COMPLETED, 1),
    "plain": (JobState.COMPLETED, 1),
    "resigning": (JobState.CANCELLED, 1),
    "pointless": (JobState.DISCARDED, 1),
}


@dataclass
class Outcome:
    """What is left of a workload."""

    jobs: dict[str, StoredJob]  # by id
    tempers: dict[str, str]  # by id
    cancelled: set[str]  # ids that somebody tried to cancel
    starts: Counter[str]  # by id
    tokens: dict[str, int]  # by id, the greatest that an attempt began with
    overlaps: list[str]  # ids of which two attempts ran at once
    counts: dict[str, int]  # as the store counts them
    stops: int  # drains and crashes


class Workload:
    """`run` it once, within `simulate`."""

    def __init__(self, seed: int, *, jobs: int = 16, nodes: int = 2, crashes: bool = False) -> None:
        self._chance = random.Random(seed)  # its own, so that a change of the runtime does not change the workload
        self._jobs = jobs
        self._nodes = nodes
        self._crashes = crashes
        self._tempers: dict[str, str] = {}
        self._victims: set[str] = set()
        self._starts: Counter[str] = Counter()
        self._tokens: dict[str, int] = {}
        self._were_frozen: set[object] = set()
        self._snoozed: Counter[str] = Counter()
        self._running: dict[str, object] = {}  # id -> the node that runs it
        self._overlaps: list[str] = []
        self._up: dict[object, Machine] = {}
        self._leaving: set[object] = set()
        self._cut_short: list[tuple[str, int, float]] = []  # id, claim token and when, if it was for want of a lease
        self._stops = 0
        self._registry = self._add_jobs()

    async def run(self) -> Outcome:
        """Enqueue, disturb, wait for every end."""
        is_over = asyncio.Event()
        client = self._runtime()
        async with client, asyncio.TaskGroup() as group:
            for number in range(self._nodes):
                group.create_task(self._keep_up(number, is_over))
            handles = [await self._enqueue(client) for _ in range(self._jobs)]
            victims = self._chance.sample(handles, self._jobs // 6)
            self._victims = {handle.id for handle in victims}
            for handle in victims:
                group.create_task(self._cancel(handle))
            await asyncio.gather(*(self._end(handle) for handle in handles))
            is_over.set()
            jobs = {handle.id: await handle.job() for handle in handles}
            counts = await client.counts()
        return Outcome(
            jobs,
            self._tempers,
            self._victims,
            self._starts,
            self._tokens,
            self._overlaps,
            counts,
            self._stops,
        )

    # Clients.

    async def _enqueue(self, client: Runtime) -> Handle[object]:
        temper = self._chance.choice(list(ENDS))
        delay_s = self._chance.choice([0.0, 0.0, self._chance.uniform(0, 5)])
        job = client.jobs[temper].options(delay=delay_s, queue=self._chance.choice(["a", "b"]))
        handle = await client.enqueue_call(job.bind())  # of this runtime: every node has the registry too
        self._tempers[handle.id] = temper
        await asyncio.sleep(self._chance.uniform(0, 0.2))
        return handle

    async def _cancel(self, handle: Handle[object]) -> None:
        await asyncio.sleep(self._chance.uniform(0, 6))
        await handle.cancel("not wanted")

    async def _end(self, handle: Handle[object]) -> None:
        with suppress(JobFailed, JobCancelled, JobDiscarded):
            await handle.result(LONGEST_S)

    # Nodes.

    async def _keep_up(self, number: int, is_over: asyncio.Event) -> None:
        """Run one node, again and again, each time for a while."""
        while not is_over.is_set():
            stop = asyncio.Event()
            identity = object()
            machine = Machine(lambda stop=stop, me=identity: self._serve(me, stop), name=f"node {number}")  # type: ignore[misc]
            self._up[identity] = machine
            await _either(is_over, self._chance.uniform(0.5, 6))
            fate = self._chance.choice(["drain", "crash", "freeze"]) if self._crashes else "drain"
            if fate == "crash" and not is_over.is_set():
                machine.crash()
            elif fate == "freeze":
                self._were_frozen.add(identity)
                machine.freeze()
                await asyncio.sleep(self._chance.uniform(3, 15))  # with a lease of 5 s
                machine.thaw()
                await _either(is_over, self._chance.uniform(0.1, 3))
            stop.set()
            await machine.ended()
            del self._up[identity]
            self._stops += 1
            await _either(is_over, self._chance.uniform(0.1, 2))

    async def _serve(self, me: object, stop: asyncio.Event) -> None:
        runtime = self._runtime()
        runtime.identity = me  # type: ignore[attr-defined]  # so that handlers know where they run
        async with runtime.work({"a": 2, "b": 3}):
            await stop.wait()
            self._leaving.add(me)

    # Jobs.

    def _runtime(self) -> Runtime:
        runtime = Runtime(STORE, settings=SETTINGS)
        runtime.include(self._registry)
        return runtime

    def _add_jobs(self) -> Registry:
        registry = Registry()
        job = registry.job
        retry = Retry(max_attempts=MAX_ATTEMPTS)

        @job(name="steady")
        async def steady(ctx: Ctx) -> int:
            await self._attempt(ctx, 1.0)
            return ctx.fencing_token

        @job(name="long")
        async def long(ctx: Ctx) -> int:
            await self._attempt(ctx, 5.0, least_s=2.5)
            return ctx.fencing_token

        @job(name="flaky", retry=retry)
        async def flaky(ctx: Ctx) -> None:
            await self._attempt(ctx, 0.3)
            if ctx.attempt < 3:
                raise ValueError("not yet")

        @job(name="hopeless", retry=retry)
        async def hopeless(ctx: Ctx) -> None:
            await self._attempt(ctx, 0.1)
            raise ValueError("never")

        @job(name="hanging", retry=retry, timeout=1.0)
        async def hanging(ctx: Ctx) -> None:
            await self._attempt(ctx, 1000.0, least_s=500.0)

        @job(name="later", retry=retry)
        async def later(ctx: Ctx) -> RetryAfter | None:
            await self._attempt(ctx, 0.1)
            return RetryAfter(1.5) if ctx.attempt < 3 else None

        @job(name="sleepy")
        async def sleepy(ctx: Ctx) -> Snooze | None:
            await self._attempt(ctx, 0.1)
            self._snoozed[ctx.id] += 1
            return Snooze(0.7) if self._snoozed[ctx.id] < 3 else None

        @job(name="plain")
        def plain(ctx: Ctx) -> None:
            self._starts[ctx.id] += 1

        @job(name="resigning")
        async def resigning(ctx: Ctx) -> Cancel:
            await self._attempt(ctx, 0.1)
            return Cancel("of its own will")

        @job(name="pointless")
        async def pointless(ctx: Ctx) -> Discard:
            await self._attempt(ctx, 0.1)
            return Discard("no use")

        return registry

    async def _attempt(self, ctx: Ctx, longest_s: float, *, least_s: float = 0.0) -> None:
        """Take some time, and notice when another attempt of the same job goes on meanwhile."""
        me = ctx.runtime.identity
        self._starts[ctx.id] += 1
        self._tokens[ctx.id] = max(ctx.fencing_token, self._tokens.get(ctx.id, 0))
        other = self._running.get(ctx.id)
        is_second = other in self._up and self._up[other].is_up and other not in self._were_frozen
        if is_second:
            self._overlaps.append(ctx.id)
        now = asyncio.get_running_loop().time
        began = now()
        self._running[ctx.id] = me
        try:
            await ctx.sleep(self._chance.uniform(least_s, longest_s))
        except asyncio.CancelledError:
            if is_second and me in self._were_frozen and now() == began:
                self._overlaps.remove(ctx.id)  # a node that wakes up hears in that moment, and in no order, of its loss
            is_meant = ctx.id in self._victims or ctx.name == "hanging" or me in self._leaving
            if not is_meant and me in self._up and self._up[me].is_up:
                self._cut_short.append((ctx.id, ctx.fencing_token, now()))
            raise
        finally:
            if self._running.get(ctx.id) is me:
                del self._running[ctx.id]


def problems_of(outcome: Outcome, *, crashes: bool) -> list[str]:
    """What is wrong with it, one line each."""
    found = [f"{id} ran twice at once" for id in outcome.overlaps]
    terminal = sum(outcome.counts[state.value] for state in JobState if state.is_terminal)
    if not terminal == sum(outcome.counts.values()) == len(outcome.jobs):
        found.append(f"the store counts {outcome.counts}, {len(outcome.jobs)} were enqueued")
    for id, job in outcome.jobs.items():
        temper = outcome.tempers[id]
        state, attempts = ENDS[temper]
        was_cancelled = id in outcome.cancelled and job.state is JobState.CANCELLED
        if job.state is not state and not was_cancelled:
            found.append(f"{id}, {temper}, ended {job.state}, expected {state}")
        if job.attempt > MAX_ATTEMPTS or (job.attempt != attempts and not was_cancelled):
            found.append(f"{id}, {temper}, counted {job.attempt} attempts, expected {attempts}")
        if job.state is JobState.COMPLETED and job.result is not None and job.result != outcome.tokens[id]:
            found.append(f"{id}, {temper}, has the result of claim {job.result}, but {outcome.tokens[id]} came later")
        if job.crashes and not crashes:
            found.append(f"{id}, {temper}, lost its lease {job.crashes} times though no node crashed")
        if outcome.starts[id] > attempts + 3 + outcome.stops:
            found.append(f"{id}, {temper}, was started {outcome.starts[id]} times with {outcome.stops} stops of nodes")
    return found


async def _either(event: asyncio.Event, longest_s: float) -> None:
    """Wait for `event`, at most that long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()
