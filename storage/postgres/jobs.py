"""The port of jobs on PostgreSQL: each verb on the lane of its kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...kernel.clock import Clock
from ..job import Job, NewJob
from ..ports.jobs import JobStore
from ..records import (
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    Failure,
    Finish,
    HandBack,
    Hint,
    JobFilter,
    Rescued,
    Retry,
    Snooze,
)
from ..role import Term
from .claims import Claims
from .ends import Ends
from .inserts import Inserts
from .lanes import Lanes
from .operations import Operations
from .portions import Portion, claim_in_portions
from .rows import STATES, codes_of, failure_of, job_of
from .upkeep import Upkeep

_COUNT_S = 60.0  # it reads every job


class PostgresJobs(JobStore):
    """Jobs in a database."""

    def __init__(self, lanes: Lanes, upkeep: Upkeep, clock: Clock) -> None:
        self._lanes = lanes
        self._upkeep = upkeep
        self._inserts = Inserts(lanes.work, clock)
        self._claims = Claims(lanes.claims, lanes.upkeep, clock)
        self._claimed = Portion()
        self._rescued = Portion()
        self._ends = Ends(lanes.ends, clock)
        self._operations = Operations(lanes.work, clock)

    async def warm(self, boot_id: bytes) -> None:
        """Connect for claims and ends, and have their statements planned: some 20 ms each, which the first jobs of a
        node would pay between what they did and the commit of their end."""
        await asyncio.gather(self._claims.warm(boot_id), self._ends.finish([], boot_id))

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._claims.close()

    async def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> list[bool]:
        if not jobs and fence is None:
            return []
        created = await self._inserts.insert({job.id: job for job in reversed(jobs)}, fence, hint)
        self._upkeep.note(len(created))
        if len(created) == len(jobs):
            return [True] * len(jobs)
        answers: list[bool] = []
        for job in jobs:
            answers.append(job.id in created)
            created.discard(job.id)  # named twice: the second is there already
        return answers

    async def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        replies = await claim_in_portions(
            self._claimed, requests, lambda fewer: self._claims.claim(fewer, boot_id, lease_ms)
        )
        self._upkeep.note(sum(len(reply.jobs) for reply in replies))
        return replies

    async def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> list[bool]:
        self._upkeep.note(len(ends))
        return await self._ends.finish(ends, boot_id)

    async def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> list[bool]:
        self._upkeep.note(len(retries))
        return await self._ends.retry(retries, boot_id)

    async def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> list[bool]:
        self._upkeep.note(len(snoozes))
        return await self._ends.snooze(snoozes, boot_id)

    async def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> list[bool]:
        self._upkeep.note(len(jobs))
        return await self._ends.hand_back(jobs, boot_id)

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        rescued, _ = await self._rescued.take(limit, lambda most: self._operations.rescue(most, max_crashes))
        return rescued

    async def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> list[CancelAnswer]:
        return await self._operations.cancel(job_ids, reason)

    async def revive(self, job_ids: Sequence[bytes]) -> list[bool]:
        return await self._operations.revive(job_ids)

    async def delete(self, job_ids: Sequence[bytes]) -> list[bool]:
        return await self._operations.delete(job_ids)

    async def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> int:
        return await self._operations.prune(finished_before, limit, fence)

    async def get(self, job_ids: Sequence[bytes]) -> list[Job | None]:
        rows = await self._lanes.reads.fetch("jobs/get", list(job_ids))
        found = {job.id: job for job in map(job_of, rows)}
        return [found.get(job_id) for job_id in job_ids]

    async def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> list[Job]:
        rows = await self._lanes.reads.fetch(
            "jobs/select", before, codes_of(wanted), wanted.queue, wanted.name, max(limit, 0)
        )
        return [job_of(row) for row in rows]

    async def failures(self, job_id: bytes) -> list[Failure]:
        return [failure_of(row) for row in await self._lanes.reads.fetch("jobs/failures", job_id)]

    async def count(self, wanted: JobFilter) -> int:
        if wanted.name is not None:
            [[count]] = await self._lanes.reads.fetch(
                "jobs/count", codes_of(wanted), wanted.queue, wanted.name, timeout_s=_COUNT_S
            )
            return int(count)
        rows = await self._lanes.reads.fetch("queues/counts", wanted.queue)
        return sum(count for code, count in rows if not wanted.states or STATES[code] in wanted.states)
