"""A whole life of jobs in a runtime whose store is disturbed, and what is left of it.

Ten jobs go through everything that a node does with a store: enqueued, claimed, kept, completed, retried, snoozed,
cancelled while waiting and while executing, handed back by a drain, rescued from a node that died, revived, deleted.
Whatever fails on the way, what is left must equal a life without faults.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callboard import Ctx, Handle, JobCancelled, JobState, Retry, Runtime, Settings, Snooze
from callboard.storage.errors import Unavailable
from callboard.storage.ids import parse_id
from callboard.storage.messages import DeleteJobs, PauseQueues, PruneJobs, ResumeQueues, ReviveJobs
from callboard.storage.ports.store import Store
from callboard.storage.records import ClaimRequest
from tests.support.node_hands import assert_counters_are_true

T = TypeVar("T")
NAMES = ("steady", "flaky", "sleepy", "endless", "unwanted", "drained", "orphan", "revived", "deleted", "late")
SETTINGS = Settings(lease="3s", grace=0, max_crashes=1000)  # a claim that was lost is found in two thirds of it
QUIET_AFTER_S = 40.0  # a life takes a second or two; what has not ended then is stuck


@dataclass(slots=True)
class Life:
    """What is left: each job by its name, ids and tokens left out."""

    jobs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    counts: dict[JobState, int] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)

    def but_for_crashes(self) -> Life:
        """The same, whatever leases ran out: that of a claim whose answer was lost does on a machine that stands still
        for a second, since two heartbeats find it, and a third of its time is left then.
        """
        jobs = {
            name: (state, attempt, result, reason, [error for error in errors if error != "lease lost"])
            for name, (state, attempt, _, result, reason, errors) in self.jobs.items()
        }
        return Life(jobs, self.starts, self.counts, self.paused)


async def live(runtime: Runtime, quiet: Store, arm: Callable[[], object]) -> Life:
    """One life. `quiet` is an open handle on the same jobs that no fault touches; `arm` is called once all is open."""
    actors = _Cast()
    actors.join(runtime)
    async with runtime:
        arm()
        async with asyncio.timeout(QUIET_AFTER_S):
            handles = await _play(runtime, quiet, actors)
    life = Life(starts=actors.starts)
    for name, handle in handles.items():
        [job] = await quiet.jobs.get([parse_id(handle.id)])
        if job is not None:
            errors = [failure.error.kind for failure in await quiet.jobs.failures(job.id)]
            life.jobs[name] = (job.state, job.attempt, job.crashes, job.result, job.reason, errors)
    life.counts = {state: count for state, count in (await quiet.queues.counts()).items() if count}
    life.paused = [row.name for row in await quiet.queues.list() if row.is_paused]
    assert await quiet.nodes.list() == []
    await assert_counters_are_true(quiet)
    return life


async def _play(runtime: Runtime, quiet: Store, actors: _Cast) -> dict[str, Handle[object]]:
    # That node died with the one job of its queue.
    orphan = await runtime.jobs["orphan"].options(queue="dead").enqueue()
    [reply] = await quiet.jobs.claim([ClaimRequest("dead", 1)], boot_id=b"D" * 16, lease_ms=1)
    assert len(reply.jobs) == 1
    delays = {"unwanted": 3600.0, "late": 0.05}
    names = [name for name in NAMES if name != "orphan"]
    calls = [runtime.jobs[name].options(delay=delays.get(name)).bind() for name in names]
    handles = {"orphan": orphan, **dict(zip(names, await runtime.enqueue_many(calls), strict=True))}
    await handles["unwanted"].cancel("not wanted")
    storage = runtime.node.storage
    await storage.ask(PauseQueues(["other"]), timeout=30)

    async with runtime.work({"default": 10, "dead": 1}):
        await actors.has_started("endless")
        await handles["endless"].cancel("enough")
        with suppress(JobCancelled):
            await repeated(handles["endless"].result)
        for name in ("steady", "flaky", "sleepy", "orphan", "revived", "deleted", "late"):
            await repeated(handles[name].result)
        assert await storage.ask(ReviveJobs([parse_id(handles["revived"].id)]), timeout=30) == [True]
        await actors.has_started("revived", 2)
        await repeated(handles["revived"].result)
        await actors.has_started("drained")
    async with runtime.work({"default": 10}):
        await repeated(handles["drained"].result)
    await storage.ask(DeleteJobs([parse_id(handles["deleted"].id)]), timeout=30)
    await storage.ask(PruneJobs(0, 10), timeout=30)
    await storage.ask(ResumeQueues(["other"]), timeout=30)
    return handles


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    """What a reader gets who asks again when the store did not answer."""
    while True:
        with suppress(Unavailable):
            return await call()


class _Cast:
    """The handlers of one life."""

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def has_started(self, name: str, times: int = 1) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.starts[name] >= times)

    async def _start(self, name: str) -> int:
        async with self._changed:
            self.starts[name] += 1
            self._changed.notify_all()
        return self.starts[name]

    def join(self, runtime: Runtime) -> None:
        for name in ("steady", "orphan", "revived", "deleted", "late", "unwanted"):
            self._add_plain(runtime, name)

        @runtime.job(name="flaky", retry=Retry(max_attempts=3, backoff="10ms"))
        async def flaky() -> int:
            if await self._start("flaky") == 1:
                raise ValueError("not yet")
            return 2

        @runtime.job(name="sleepy")
        async def sleepy(ctx: Ctx) -> int | Snooze:
            return Snooze(0.01) if await self._start("sleepy") == 1 else ctx.attempt

        @runtime.job(name="endless")
        async def endless() -> None:
            await self._start("endless")
            await asyncio.get_running_loop().create_future()

        @runtime.job(name="drained")
        async def drained(ctx: Ctx) -> int:
            if await self._start("drained") == 1:
                await asyncio.get_running_loop().create_future()
            return ctx.attempt

    def _add_plain(self, runtime: Runtime, name: str) -> None:
        @runtime.job(name=name)
        async def plain() -> str:
            await self._start(name)
            return name
