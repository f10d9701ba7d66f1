"""Jobs in Redis: each port method is one script and one round trip, whatever the size of the batch.

A script runs alone on the server, so a batch takes effect whole or not at all. It also keeps everybody waiting: about
10 ms for a thousand jobs. Callers that care hand in less at once; what need not be whole is cut here (`PAGE`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from ...kernel.clock import Clock
from ..errors import TermOver
from ..job import Job, JobState, NewJob
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
from . import rows
from .connection import Script, Server
from .counters import counted

PAGE = 1000  # ids that one script looks at, or jobs that it takes, where the port leaves it open

_INSERT = Script("lua/jobs/insert.lua")
_CLAIM = Script("lua/jobs/claim.lua")
_FINISH = Script("lua/jobs/finish.lua")
_PUT_BACK = Script("lua/jobs/put_back.lua")
_RESCUE = Script("lua/jobs/rescue.lua")
_CANCEL = Script("lua/jobs/cancel.lua")
_REVIVE = Script("lua/jobs/revive.lua")
_DELETE = Script("lua/jobs/delete.lua")
_PRUNE = Script("lua/jobs/prune.lua")
_GET = Script("lua/jobs/get.lua")
_SELECT = Script("lua/jobs/select.lua")

_YES = ord("1")
_CANCEL_ANSWERS = {
    ord("C"): CancelAnswer.CANCELLED,
    ord("R"): CancelAnswer.REQUESTED,
    ord("T"): CancelAnswer.TOO_LATE,
    ord("M"): CancelAnswer.MISSING,
}


class RedisJobs(JobStore):
    """The port of jobs over a server."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> list[bool]:
        if not jobs and fence is None:
            return []
        message = None if hint is None or hint.is_lost else hint.message
        batch = rows.inserted(jobs, self._clock.wall_ms(), self._server.keys.wakeups, message)
        created: list[bool] = []
        try:
            created = _answers(await self._server.call(_INSERT, batch, is_new_work=True, fence=fence))
        finally:
            if hint is not None and True not in created:
                hint.is_lost = True
        return created

    async def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        if not requests:
            return []
        batch = rows.packed([self._clock.wall_ms(), lease_ms, boot_id, *chain.from_iterable(requests)])
        replies = await self._server.call(_CLAIM, batch)
        return [_claim_reply(reply, request.queue) for reply, request in zip(replies, requests, strict=True)]

    async def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> list[bool]:
        if not ends:
            return []
        return _answers(await self._server.call(_FINISH, rows.ended(ends, boot_id, self._clock.wall_ms())))

    async def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> list[bool]:
        now = self._clock.wall_ms()
        batch: list[Any] = []
        for job_id, token, _, attempt, run_at, error in retries:
            failure = rows.packed_failure(token, attempt, boot_id, now, error)
            batch += (job_id, token, rows.RETRYABLE, run_at, 0, failure)
        return await self._put_back(batch, boot_id, now, (rows.RETRYABLE, rows.CANCELLED))

    async def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> list[bool]:
        batch: list[Any] = []
        for job_id, token, _, run_at in snoozes:
            batch += (job_id, token, rows.SCHEDULED, run_at, 1, False)
        return await self._put_back(batch, boot_id, self._clock.wall_ms(), (rows.SCHEDULED, rows.CANCELLED))

    async def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> list[bool]:
        now = self._clock.wall_ms()
        batch: list[Any] = []
        for job_id, token, _, run_at in jobs:
            if run_at is None or run_at <= now:
                batch += (job_id, token, rows.AVAILABLE, False, 1, False)
            else:
                batch += (job_id, token, rows.SCHEDULED, run_at, 1, False)
        states = (rows.AVAILABLE, rows.SCHEDULED, rows.CANCELLED)
        return await self._put_back(batch, boot_id, now, states)

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        rescued: list[Rescued] = []
        while len(rescued) < limit:
            wanted = min(PAGE, limit - len(rescued))
            why = ("lease lost", "the lease ran out before the attempt ended")
            batch = rows.packed((self._clock.wall_ms(), wanted, max_crashes, *why))
            taken = await self._server.call(_RESCUE, batch)
            rescued += [Rescued(job_id, queue.decode(), rows.STATES[state]) for job_id, queue, state in taken]
            if len(taken) < wanted:
                break
        return rescued

    async def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> list[CancelAnswer]:
        if not job_ids:
            return []
        batch = rows.packed([self._clock.wall_ms(), reason, *job_ids])
        return [_CANCEL_ANSWERS[letter] for letter in await self._server.call(_CANCEL, batch)]

    async def revive(self, job_ids: Sequence[bytes]) -> list[bool]:
        if not job_ids:
            return []
        return _answers(await self._server.call(_REVIVE, rows.packed([self._clock.wall_ms(), *job_ids])))

    async def delete(self, job_ids: Sequence[bytes]) -> list[bool]:
        if not job_ids:
            return []
        return _answers(await self._server.call(_DELETE, rows.packed(list(job_ids))))

    async def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> int:
        removed = 0
        while True:
            wanted = max(min(PAGE, limit - removed), 0)
            try:
                count: int = await self._server.call(_PRUNE, rows.packed((finished_before, wanted)), fence=fence)
            except TermOver:
                if not removed:
                    raise
                return removed  # while the term ran
            removed += count
            if count < wanted or removed >= limit:
                return removed

    async def get(self, job_ids: Sequence[bytes]) -> list[Job | None]:
        if not job_ids:
            return []
        found = rows.jobs_of(await self._server.call(_GET, rows.packed(list(job_ids))))
        return [found.get(job_id) for job_id in job_ids]

    async def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> list[Job]:
        jobs: list[Job] = []
        last = before or b""
        while len(jobs) < limit:
            _, last, columns = await self._look(wanted, last, min(PAGE, limit - len(jobs)), counts_only=False)
            jobs += rows.jobs_of(columns).values()
            if not last:
                break
        return jobs

    async def failures(self, job_id: bytes) -> list[Failure]:
        return rows.failures_of(await self._server.command("HGET", self._server.keys.failure, job_id))

    async def count(self, wanted: JobFilter) -> int:
        if wanted.name is None:
            rows_of_queues = counted(await self._server.command("HGETALL", self._server.keys.counts))
            chosen = [row for queue, row in rows_of_queues.items() if wanted.queue is None or queue == wanted.queue]
            return sum(row[state.code] for row in chosen for state in wanted.states or JobState)
        total, last = 0, b""
        while True:
            found, last, _ = await self._look(wanted, last, PAGE, counts_only=True)
            total += found
            if not last:
                return total

    async def _put_back(self, jobs: list[Any], boot_id: bytes, now: int, repeated_as: tuple[int, ...]) -> list[bool]:
        if not jobs:
            return []
        batch = rows.packed([now, boot_id, "".join(map(str, repeated_as)), *jobs])
        return _answers(await self._server.call(_PUT_BACK, batch))

    async def _look(
        self, wanted: JobFilter, before: bytes, limit: int, *, counts_only: bool
    ) -> tuple[int, bytes, rows.Columns]:
        """How many match among the next ids, the last id looked at (none: no further), and columns of those jobs."""
        states = "".join(str(state.code) for state in wanted.states or JobState)
        filters = (states, _or_false(wanted.queue), _or_false(wanted.name))
        found, last, columns = await self._server.call(
            _SELECT, rows.packed((before, PAGE, limit, *filters, counts_only))
        )
        return found, last, columns


def _answers(text: bytes) -> list[bool]:
    return [letter == _YES for letter in text]


def _or_false(value: bytes | str | None) -> bytes | str | bool:
    """For Lua, where nothing cannot stand in a list."""
    return False if value is None else value


def _claim_reply(reply: Any, queue: str) -> ClaimReply:
    is_paused, next_run_at, ids, heads, payloads = reply
    jobs = [rows.claimed_of(*columns, queue) for columns in zip(ids, heads, payloads, strict=True)]
    return ClaimReply(jobs, None if next_run_at == rows.NEVER else next_run_at, bool(is_paused))
