"""A workload full of moments, run in virtual time on nodes whose wall clocks are wrong: what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from callboard import Ctx, JobFailed, JobState, Registry, Retry, Runtime, Settings, Snooze
from callboard.runtime.simulation import BEGAN_MS
from callboard.testing import Carried, Machine, Network

STORE = "redis://anywhere/0"
RETENTION_S = 60.0
SETTINGS = Settings(lease="6s", leader_lease="6s", retention=RETENTION_S, max_crashes=1000)
PRUNES = {"jobs.prune": ("finished_before", RETENTION_S), "controls.prune": ("asked_before", 3600.0)}


@dataclass
class Lived:
    """What is left of it. Moments are seconds of the store's clock, from the beginning."""

    ends: dict[str, tuple[JobState, int, Any]] = field(default_factory=dict)  # by name: state, attempt, result
    begun: dict[str, list[float]] = field(default_factory=dict)  # by name, one for each attempt
    told: list[float] = field(default_factory=list)  # when `on_retry` said that the next attempt would begin
    stored: dict[str, list[float]] = field(default_factory=dict)  # by name: enqueued, due, started, finished
    prune_off_s: list[float] = field(default_factory=list)  # of each prune, what its limit was off
    left: int = 0  # jobs that were there long after all had ended


class SkewedNodes:
    """`live` it once, within `simulate`: a node on a machine for each of `ahead_s`, the client on one of its own."""

    def __init__(self, ahead_s: Sequence[float], *, jumps: Sequence[tuple[float, float]] = ()) -> None:
        self._ahead_s = ahead_s
        self._jumps = jumps  # after so many seconds the wall clocks jump by so much, those of every other node back
        self._lived = Lived()
        self._jobs = self._registry()

    async def live(self) -> Lived:
        """Enqueue all, wait for every end, and for the janitor."""
        Network(observe=self._observe)
        lived = self._lived
        async with Runtime(STORE, settings=SETTINGS) as beside:
            nodes = [Machine(self._node, ahead_s=ahead_s) for ahead_s in self._ahead_s]
            await asyncio.sleep(1.0)
            client = Machine(self._client, ahead_s=-self._ahead_s[0])
            for after_s, jump_s in self._jumps:
                await asyncio.sleep(after_s - _now_s())
                for machine, sign in zip((*nodes, client), (1, -1, 1), strict=True):
                    machine.ahead_s += sign * jump_s
            await client.ended()
            await asyncio.sleep(RETENTION_S + 60.0)
            counts = await beside.counts()
            lived.left = sum(counts.values())
        return lived

    def _registry(self) -> Registry:
        jobs, begun = Registry(), self._lived.begun

        def begins(ctx: Ctx) -> int:
            moments = begun.setdefault(ctx.name, [])
            moments.append(_now_s())
            return len(moments)

        async def on_retry(ctx: Ctx, error: BaseException, next_at: datetime) -> None:
            self._lived.told.append(_since(next_at))

        @jobs.job(name="late", timeout=30.0)
        async def late(ctx: Ctx) -> float:
            begins(ctx)
            assert ctx.deadline is not None
            return round((ctx.deadline - ctx.enqueued_at).total_seconds())

        @jobs.job(name="dated")
        async def dated(ctx: Ctx) -> None:
            begins(ctx)

        @jobs.job(name="flaky", retry=Retry(backoff=20.0, jitter="none", on_retry=on_retry))
        async def flaky(ctx: Ctx) -> int:
            if begins(ctx) <= 2:
                raise ValueError("not yet")
            return ctx.attempt

        @jobs.job(name="frugal", retry=Retry(backoff=20.0, jitter="none", budget=50.0))
        async def frugal(ctx: Ctx) -> None:
            begins(ctx)
            raise ValueError("never")

        @jobs.job(name="sleepy")
        async def sleepy(ctx: Ctx) -> object:
            return Snooze(30.0) if begins(ctx) <= 2 else ctx.attempt

        @jobs.job(name="parent")
        async def parent(ctx: Ctx) -> str:
            begins(ctx)
            handle = await ctx.runtime.jobs["child"].options(delay=25.0).enqueue()
            return str(handle.id)

        @jobs.job(name="child")
        async def child(ctx: Ctx) -> None:
            begins(ctx)

        return jobs

    async def _node(self) -> None:
        async with self._runtime().work({"default": 4}):
            await asyncio.Event().wait()

    async def _client(self) -> None:
        async with self._runtime() as runtime:
            jobs = runtime.jobs
            at = datetime.fromtimestamp(BEGAN_MS / 1000 + 100.0, UTC)
            handles = [
                await jobs["late"].options(delay=60.0).enqueue(),
                await jobs["dated"].options(at=at).enqueue(),
                *[await jobs[name].enqueue() for name in ("flaky", "frugal", "sleepy", "parent")],
            ]
            async with asyncio.TaskGroup() as group:
                for handle in handles:
                    group.create_task(self._end(runtime, handle.id))

    async def _end(self, runtime: Runtime, job_id: str) -> None:
        handle = runtime.handle(job_id)
        value: Any = None
        with suppress(JobFailed):
            value = await handle.result(600.0)
        job = await handle.job()
        if job.name == "parent":
            await self._end(runtime, value)
            value = None
        moments = (job.enqueued_at, job.run_at, job.started_at, job.finished_at)
        self._lived.ends[job.name] = (job.state, job.attempt, value)
        self._lived.stored[job.name] = [_since(moment) for moment in moments if moment is not None]

    def _runtime(self) -> Runtime:
        runtime = Runtime(STORE, settings=SETTINGS)
        runtime.include(self._jobs)
        return runtime

    def _observe(self, call: Carried) -> None:
        if call.method in PRUNES and call.error is None:
            name, age_s = PRUNES[call.method]
            asked = call.kwargs[name] if name in call.kwargs else call.args[0]
            self._lived.prune_off_s.append((asked - BEGAN_MS) / 1000 + age_s - call.at_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _since(moment: datetime) -> float:
    return moment.timestamp() - BEGAN_MS / 1000
