"""What a node does with a store, in a word each: shorthands that tests of stores share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from callboard.kernel.clock import Clock
from callboard.storage.ids import IdFactory
from callboard.storage.job import Claimed, Job, JobState, NewJob
from callboard.storage.ports.store import Store
from callboard.storage.records import (
    Beat,
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    ErrorRecord,
    Failure,
    Finish,
    HandBack,
    HeartbeatReply,
    JobFilter,
    QueueRow,
    Rescued,
    Retry,
    Snooze,
)

LEASE_MS = 30_000
MAX_CRASHES = 5
ALL = JobFilter()
OOPS = ErrorRecord("builtins.ValueError", "oops", "Traceback: oops")


@dataclass(frozen=True, slots=True)
class Observed:
    """All of a store that can be seen from outside, to compare before and after."""

    jobs: list[Job]
    failures: dict[bytes, list[Failure]]
    queues: Sequence[QueueRow]


class NodeHands:
    """One node: a boot id and a handle on the store."""

    def __init__(self, store: Store, clock: Clock, *, boot_id: bytes, seed: int = 0) -> None:
        self.store = store
        self.clock = clock
        self.boot_id = boot_id
        self.ids = IdFactory(clock, random.Random(seed).randbytes)

    # What a producer and an operator do.

    def new_job(
        self,
        *,
        name: str = "mail.send",
        queue: str = "default",
        payload: bytes = b"args",
        priority: int = 2,
        run_in_s: float | None = None,
        timeout_ms: int | None = None,
    ) -> NewJob:
        run_at = None if run_in_s is None else self.clock.wall_ms() + int(run_in_s * 1000)
        return NewJob(self.ids.new_id(), name, queue, payload, priority, run_at, timeout_ms)

    async def enqueue(
        self, *, name: str = "mail.send", queue: str = "default", priority: int = 2, run_in_s: float | None = None
    ) -> bytes:
        """The id of a job that was just inserted."""
        job = self.new_job(name=name, queue=queue, priority=priority, run_in_s=run_in_s)
        assert await self.store.jobs.insert([job]) == [True]
        return job.id

    async def insert(self, *jobs: NewJob) -> list[bool]:
        """Per job: whether this call created it."""
        return await self.store.jobs.insert(jobs)

    async def enqueue_many(self, count: int, *, queue: str = "default") -> list[bytes]:
        """Their ids, in the order in which they will be claimed."""
        jobs = [self.new_job(queue=queue) for _ in range(count)]
        assert await self.store.jobs.insert(jobs) == [True] * count
        return [job.id for job in jobs]

    async def cancel(self, job_id: bytes, *, reason: str = "operator") -> CancelAnswer:
        [answer] = await self.store.jobs.cancel([job_id], reason=reason)
        return answer

    async def revive(self, job_id: bytes) -> bool:
        [done] = await self.store.jobs.revive([job_id])
        return done

    async def delete(self, job_id: bytes) -> bool:
        [done] = await self.store.jobs.delete([job_id])
        return done

    # What a worker does.

    async def ask(self, limit: int = 100, *, queue: str = "default", lease_ms: int = LEASE_MS) -> ClaimReply:
        """The whole answer to one claim request."""
        [reply] = await self.store.jobs.claim([ClaimRequest(queue, limit)], boot_id=self.boot_id, lease_ms=lease_ms)
        return reply

    async def claim(self, limit: int = 100, *, queue: str = "default", lease_ms: int = LEASE_MS) -> list[Claimed]:
        return (await self.ask(limit, queue=queue, lease_ms=lease_ms)).jobs

    async def claim_one(self, *, queue: str = "default", lease_ms: int = LEASE_MS) -> Claimed:
        [claimed] = await self.claim(1, queue=queue, lease_ms=lease_ms)
        return claimed

    async def start(self, *, queue: str = "default", lease_ms: int = LEASE_MS) -> Claimed:
        """A new job, claimed; nothing else may wait in that queue."""
        job_id = await self.enqueue(queue=queue)
        claimed = await self.claim_one(queue=queue, lease_ms=lease_ms)
        assert claimed.id == job_id
        return claimed

    async def finish(
        self,
        claimed: Claimed,
        state: JobState = JobState.COMPLETED,
        *,
        result: bytes | None = None,
        reason: str | None = None,
        error: ErrorRecord | None = None,
    ) -> bool:
        end = Finish(
            claimed.id, claimed.claim_token, claimed.queue, state, claimed.attempt, result, reason=reason, error=error
        )
        [accepted] = await self.store.jobs.finish([end], boot_id=self.boot_id)
        return accepted

    async def retry(self, claimed: Claimed, *, run_in_s: float = 10, error: ErrorRecord = OOPS) -> bool:
        run_at = self.clock.wall_ms() + int(run_in_s * 1000)
        one = Retry(claimed.id, claimed.claim_token, claimed.queue, claimed.attempt, run_at, error)
        [accepted] = await self.store.jobs.retry([one], boot_id=self.boot_id)
        return accepted

    async def snooze(self, claimed: Claimed, *, run_in_s: float = 10) -> bool:
        run_at = self.clock.wall_ms() + int(run_in_s * 1000)
        one = Snooze(claimed.id, claimed.claim_token, claimed.queue, run_at)
        [accepted] = await self.store.jobs.snooze([one], boot_id=self.boot_id)
        return accepted

    async def hand_back(self, claimed: Claimed, *, run_in_s: float | None = None) -> bool:
        run_at = None if run_in_s is None else self.clock.wall_ms() + int(run_in_s * 1000)
        one = HandBack(claimed.id, claimed.claim_token, claimed.queue, run_at)
        [accepted] = await self.store.jobs.hand_back([one], boot_id=self.boot_id)
        return accepted

    async def beat(
        self, *claims: Claimed, progress: bytes | None = None, lease_ms: int = LEASE_MS, report: bytes = b""
    ) -> HeartbeatReply:
        """One heartbeat through a handle of its own; how long a server has been up is left out."""
        beats = [Beat(claimed.id, claimed.claim_token, progress) for claimed in claims]
        handle = self.store.heartbeats()
        await handle.open()
        try:
            reply = await handle.heartbeat(beats, boot_id=self.boot_id, lease_ms=lease_ms, report=report)
            return reply._replace(up_ms=None)
        finally:
            await handle.close()

    async def rescue(self, *, limit: int = 1000, max_crashes: int = MAX_CRASHES) -> list[Rescued]:
        return await self.store.jobs.rescue(limit=limit, max_crashes=max_crashes)

    # What anybody sees.

    async def job(self, job_id: bytes) -> Job:
        [job] = await self.store.jobs.get([job_id])
        assert job is not None
        return job

    async def state(self, job_id: bytes) -> JobState:
        return (await self.job(job_id)).state

    async def failures(self, job_id: bytes) -> list[Failure]:
        return await self.store.jobs.failures(job_id)

    async def observe(self) -> Observed:
        jobs = await self.store.jobs.select(ALL, limit=100_000)
        failures = {job.id: await self.store.jobs.failures(job.id) for job in jobs}
        return Observed(jobs, failures, await self.store.queues.list())


async def in_state(node: NodeHands, state: JobState, *, queue: str = "default") -> Claimed:
    """A job brought to `state` by `node`, by the shortest way, with the last claim of it.

    Nothing else may be available in that queue.
    """
    claimed = await node.start(queue=queue)
    if state is JobState.AVAILABLE:
        assert await node.hand_back(claimed)
    elif state is JobState.SCHEDULED:
        assert await node.snooze(claimed)
    elif state is JobState.RETRYABLE:
        assert await node.retry(claimed)
    elif state is not JobState.EXECUTING:
        assert await node.finish(claimed, state, reason="as asked")
    assert await node.state(claimed.id) is state
    return claimed


async def without_leases(node: NodeHands) -> object:
    """What is observed, but for the end of leases: a server's clock goes on, and tests that let time pass date leases
    back there.
    """
    observed = await node.observe()
    return replace(observed, jobs=[replace(job, lease_until=None) for job in observed.jobs])


async def assert_counters_are_true(store: Store) -> None:
    """The counters of every queue against a recount of the jobs themselves."""
    jobs = await store.jobs.select(ALL, limit=100_000)
    rows = await store.queues.list()
    for row in rows:
        recount = dict.fromkeys(JobState, 0)
        for job in jobs:
            if job.queue == row.name:
                recount[job.state] += 1
        assert dict(row.counts) == recount, row.name
        assert dict(await store.queues.counts(row.name)) == recount
    assert {job.queue for job in jobs} <= {row.name for row in rows}
    total = await store.queues.counts()
    assert sum(total.values()) == len(jobs) == await store.jobs.count(ALL)
