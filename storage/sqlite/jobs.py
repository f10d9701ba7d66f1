"""The port of jobs on SQLite: writing verbs return bare futures of the writer, reading goes to the reader."""

from __future__ import annotations

from asyncio import Future
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
from ..statements import load
from . import claims, inserts, leases, operations
from .ends import Ends, backs_of_hand_backs, backs_of_retries, backs_of_snoozes, finish, put_back
from .presence import Presence
from .reader import Reader
from .rows import STATES, failure_of, filter_parameters, job_of
from .writer import Writer

_GET = load(__package__, "sql/jobs/get.sql")
_SELECT = load(__package__, "sql/jobs/select.sql")
_FAILURES = load(__package__, "sql/jobs/failures.sql")
_COUNT = load(__package__, "sql/jobs/count.sql")
_COUNTS = load(__package__, "sql/queues/counts.sql")
_ABOVE_EVERY_ID = b"\xff" * 17
_SLOW_ROWS = 4  # rows that an operator's verb counts for beside the batch verbs' one: it goes row by row


class SqliteJobs(JobStore):
    """Jobs in a file."""

    def __init__(self, writer: Writer, reader: Reader, presence: Presence, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._presence = presence
        self._clock = clock

    def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> Future[list[bool]]:
        if fence is not None:
            call = inserts.Fenced(jobs, fence)
            return self._writer.submit(inserts.insert_fenced, call, rows=len(jobs), is_new_work=True)
        return self._writer.submit(inserts.insert, jobs, rows=len(jobs), is_new_work=True)

    def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> Future[list[ClaimReply]]:
        rows = sum(request.limit for request in requests)
        return self._writer.submit(claims.claim, claims.Claim(requests, boot_id, lease_ms), rows=rows)

    def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> Future[list[bool]]:
        return self._writer.submit(finish, Ends(ends, boot_id), rows=len(ends))

    def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> Future[list[bool]]:
        return self._writer.submit(put_back, backs_of_retries(retries, boot_id), rows=len(retries))

    def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> Future[list[bool]]:
        return self._writer.submit(put_back, backs_of_snoozes(snoozes, boot_id), rows=len(snoozes))

    def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> Future[list[bool]]:
        backs = backs_of_hand_backs(jobs, boot_id, self._clock.wall_ms())
        return self._writer.submit(put_back, backs, rows=len(jobs))

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        dead = self._presence.dead()
        call = leases.Rescue(limit, max_crashes, dead)
        rescued = await self._writer.submit(leases.rescue, call, rows=limit)
        self._presence.leave(dead)  # their leases are marked as over: no need to look again
        return rescued

    def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> Future[list[CancelAnswer]]:
        rows = len(job_ids) * _SLOW_ROWS
        return self._writer.submit(operations.cancel, operations.Cancel(job_ids, reason), rows=rows)

    def revive(self, job_ids: Sequence[bytes]) -> Future[list[bool]]:
        return self._writer.submit(operations.revive, job_ids, rows=len(job_ids) * _SLOW_ROWS)

    def delete(self, job_ids: Sequence[bytes]) -> Future[list[bool]]:
        return self._writer.submit(operations.delete, job_ids, rows=len(job_ids) * _SLOW_ROWS)

    def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> Future[int]:
        return self._writer.submit(operations.prune, operations.Prune(finished_before, limit, fence), rows=limit)

    async def get(self, job_ids: Sequence[bytes]) -> list[Job | None]:
        found = {job.id: job for job in map(job_of, await self._reader.rows(_GET, job_ids))}
        return [found.get(job_id) for job_id in job_ids]

    async def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> list[Job]:
        page = {"before": _ABOVE_EVERY_ID if before is None else before, "limit": limit}
        return [job_of(row) for row in await self._reader.all(_SELECT, {**filter_parameters(wanted), **page})]

    async def failures(self, job_id: bytes) -> list[Failure]:
        return [failure_of(row) for row in await self._reader.all(_FAILURES, (job_id,))]

    async def count(self, wanted: JobFilter) -> int:
        if wanted.name is not None:
            [[count]] = await self._reader.all(_COUNT, filter_parameters(wanted))
            return int(count)
        rows = await self._reader.all(_COUNTS, {"queue": wanted.queue})
        return sum(count for code, count in rows if not wanted.states or STATES[code] in wanted.states)
