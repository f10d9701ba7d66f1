"""Jobs in memory. Coroutines that never suspend: awaiting one costs a quarter of a future that is already done."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from ...kernel.clock import Clock
from ..job import Claimed, Job, JobState, NewJob
from ..ports.jobs import JobStore
from ..records import (
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    ErrorRecord,
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
from .board import Board, Queue
from .record import AVAILABLE, CANCELLED, COMPLETED, EXECUTING, FAILED, RETRYABLE, SCHEDULED, STATES, Record

_TERMINAL_CODES = frozenset(state.code for state in JobState if state.is_terminal)
_LEASE_LOST = ErrorRecord("lease lost", "the lease ran out before the attempt ended", "")


class MemoryJobs(JobStore):
    """The port of jobs over a board."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    async def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> list[bool]:
        board, now, created = self._board, self._clock.wall_ms(), []
        records = board.records
        with board.lock:
            if fence is not None:
                board.check(fence, lease_now(self._clock))
            for new in jobs:
                if new.id in records:
                    created.append(False)
                    continue
                if new.id < board.last_id:
                    board.is_by_id = False
                board.last_id = new.id
                run_at = now if new.run_at is None else new.run_at
                state = AVAILABLE if run_at <= now else SCHEDULED
                record = records[new.id] = Record(new, state, run_at, now)
                board.queue(new.queue).add(record, state)
                created.append(True)
        return created

    async def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        board, now = self._board, self._clock.wall_ms()
        lease_until = lease_now(self._clock) + lease_ms
        replies = []
        with board.lock:
            for name, limit in requests:
                queue = board.queues.get(name)
                if queue is None:
                    replies.append(ClaimReply([], None))
                elif queue.is_paused:
                    replies.append(ClaimReply([], None, is_paused=True))
                else:
                    queue.promote(now, max(100, limit))
                    jobs = [self._lease(record, boot_id, lease_until, now) for record in _take(queue, limit)]
                    replies.append(ClaimReply(jobs, queue.due.first_key()))
        return replies

    async def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> list[bool]:
        board, now, accepted = self._board, self._clock.wall_ms(), []
        with board.lock:
            for end in ends:
                state = COMPLETED if end.state is JobState.COMPLETED else end.state.code
                record = board.leased(end.id, end.claim_token, boot_id)
                if record is None:
                    accepted.append(board.stands(end.id, end.claim_token, boot_id, (state,)))
                    continue
                record.result = end.result
                if end.reason is not None or state != CANCELLED:
                    record.reason = end.reason
                if end.error is not None:
                    _remember(record, end.attempt, now, end.error)
                board.end(board.release(record), record, state, now)
                accepted.append(True)
        return accepted

    async def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> list[bool]:
        board, now, accepted = self._board, self._clock.wall_ms(), []
        with board.lock:
            for retry in retries:
                record = board.leased(retry.id, retry.claim_token, boot_id)
                if record is None:
                    accepted.append(board.stands(retry.id, retry.claim_token, boot_id, (RETRYABLE, CANCELLED)))
                    continue
                _remember(record, retry.attempt, now, retry.error)
                self._put_back(record, RETRYABLE, retry.run_at, now)
                accepted.append(True)
        return accepted

    async def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> list[bool]:
        board, now, accepted = self._board, self._clock.wall_ms(), []
        with board.lock:
            for snooze in snoozes:
                record = board.leased(snooze.id, snooze.claim_token, boot_id)
                if record is None:
                    accepted.append(board.stands(snooze.id, snooze.claim_token, boot_id, (SCHEDULED, CANCELLED)))
                    continue
                record.attempt -= 1
                self._put_back(record, SCHEDULED, snooze.run_at, now)
                accepted.append(True)
        return accepted

    async def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> list[bool]:
        board, now, accepted = self._board, self._clock.wall_ms(), []
        with board.lock:
            for job in jobs:
                record = board.leased(job.id, job.claim_token, boot_id)
                if record is None:
                    states = (AVAILABLE, SCHEDULED, CANCELLED)
                    accepted.append(board.stands(job.id, job.claim_token, boot_id, states))
                    continue
                record.attempt -= 1
                if job.run_at is None or job.run_at <= now:
                    self._put_back(record, AVAILABLE, record.run_at, now)
                else:
                    self._put_back(record, SCHEDULED, job.run_at, now)
                accepted.append(True)
        return accepted

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        board, now, lease_clock = self._board, self._clock.wall_ms(), lease_now(self._clock)
        rescued = []
        with board.lock:
            expired = (record for record in board.running.values() if record.lease_until <= lease_clock)
            for record in heapq.nsmallest(limit, expired, key=lambda record: record.lease_until):
                _remember(record, record.attempt, now, _LEASE_LOST)
                record.attempt -= 1
                record.crashes += 1
                record.boot_id = None
                if record.crashes >= max_crashes and not record.cancel_requested:
                    record.reason = "poison"
                    board.end(board.release(record), record, FAILED, now)
                else:
                    self._put_back(record, AVAILABLE, record.run_at, now)
                rescued.append(Rescued(record.id, record.queue, STATES[record.state]))
        return rescued

    async def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> list[CancelAnswer]:
        now = self._clock.wall_ms()
        with self._board.lock:
            return [self._cancel(job_id, reason, now) for job_id in job_ids]

    async def revive(self, job_ids: Sequence[bytes]) -> list[bool]:
        now = self._clock.wall_ms()
        with self._board.lock:
            return [self._revive(job_id, now) for job_id in job_ids]

    async def delete(self, job_ids: Sequence[bytes]) -> list[bool]:
        with self._board.lock:
            return [self._delete(job_id) for job_id in job_ids]

    async def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> int:
        board, removed = self._board, 0
        with board.lock:
            board.check(fence, lease_now(self._clock))
            while removed < limit:
                finished_at = board.done.first_key()
                record = board.done.pop() if finished_at is not None and finished_at < finished_before else None
                if record is None:
                    break
                del board.records[record.id]
                board.take_out(record)
                removed += 1
        return removed

    async def get(self, job_ids: Sequence[bytes]) -> list[Job | None]:
        with self._board.lock:
            found = [self._board.records.get(job_id) for job_id in job_ids]
            return [None if record is None else record.as_job() for record in found]

    async def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> list[Job]:
        page: list[Job] = []
        with self._board.lock:
            for record in self._newest_first(wanted, limit, before):
                if len(page) >= limit:
                    break
                page.append(record.as_job())
        return page

    async def failures(self, job_id: bytes) -> list[Failure]:
        with self._board.lock:
            record = self._board.records.get(job_id)
            return list(record.failures or ()) if record is not None else []

    async def count(self, wanted: JobFilter) -> int:
        with self._board.lock:
            if wanted.name is not None:
                return sum(1 for _ in _matching(wanted, self._board.records.values()))
            codes = [state.code for state in wanted.states or JobState]
            queues = self._board.queues.values()
            chosen = [queue for queue in queues if wanted.queue is None or queue.name == wanted.queue]
            return sum(queue.counts[code] for queue in chosen for code in codes)

    # Steps; the lock is held.

    def _lease(self, record: Record, boot_id: bytes, lease_until: int, now: int) -> Claimed:
        record.state = EXECUTING
        record.claim_token += 1
        record.attempt += 1
        record.boot_id = boot_id
        record.lease_until = lease_until
        record.started_at = now
        self._board.running[record.id] = record
        return Claimed(
            record.id,
            record.name,
            record.queue,
            record.payload,
            record.priority,
            record.attempt,
            record.claim_token,
            record.crashes,
            record.inserted_at,
            record.timeout_ms,
        )

    def _put_back(self, record: Record, state: int, run_at: int, now: int) -> None:
        """Let a leased job wait again; one whose cancellation was requested ends here."""
        is_cancelled = record.cancel_requested
        queue = self._board.release(record)
        if is_cancelled:
            self._board.end(queue, record, CANCELLED, now)
        else:
            record.run_at = run_at
            queue.add(record, state)

    def _cancel(self, job_id: bytes, reason: str, now: int) -> CancelAnswer:
        board = self._board
        record = board.records.get(job_id)
        if record is None:
            return CancelAnswer.MISSING
        if record.state == CANCELLED:
            return CancelAnswer.CANCELLED
        if record.state in _TERMINAL_CODES:
            return CancelAnswer.TOO_LATE
        record.reason = reason
        if record.state == EXECUTING:
            record.cancel_requested = True
            return CancelAnswer.REQUESTED
        queue = board.take_out(record)
        record.boot_id = None
        board.end(queue, record, CANCELLED, now)
        return CancelAnswer.CANCELLED

    def _revive(self, job_id: bytes, now: int) -> bool:
        board = self._board
        old = board.records.get(job_id)
        if old is None or old.state == EXECUTING:
            return False
        if old.state == AVAILABLE:
            old.attempt = old.crashes = 0
            old.boot_id = old.progress = old.started_at = None
            return True
        record = old.revived(now)
        board.take_out(old).add(record, AVAILABLE)
        board.records[job_id] = record
        return True

    def _delete(self, job_id: bytes) -> bool:
        board = self._board
        record = board.records.get(job_id)
        if record is None or record.state == EXECUTING:
            return False
        board.take_out(record)
        del board.records[job_id]
        return True

    def _newest_first(self, wanted: JobFilter, limit: int, before: bytes | None) -> Iterable[Record]:
        """Matching records from the greatest id down, `limit` of them or more."""
        board = self._board
        if board.is_by_id:
            return _matching(wanted, reversed(board.records.values()), before)
        found = _matching(wanted, board.records.values(), before)
        return heapq.nlargest(limit, found, key=lambda record: record.id)


def lease_now(clock: Clock) -> int:
    """This store's lease clock: milliseconds of the machine's monotonic clock."""
    return int(clock.monotonic() * 1000)


def _take(queue: Queue, limit: int) -> Iterator[Record]:
    """At most `limit` available records, first in line first, out of their lines and the counter."""
    taken = 0
    for line in queue.ready:
        while taken < limit and (record := line.pop()) is not None:
            taken += 1
            yield record
    queue.counts[AVAILABLE] -= taken
    queue.counts[EXECUTING] += taken


def _matching(wanted: JobFilter, records: Iterable[Record], before: bytes | None = None) -> Iterator[Record]:
    codes = {state.code for state in wanted.states or JobState}
    for record in records:
        if (
            record.state in codes
            and (wanted.queue is None or record.queue == wanted.queue)
            and (wanted.name is None or record.name == wanted.name)
            and (before is None or record.id < before)
        ):
            yield record


def _remember(record: Record, attempt: int, now: int, error: ErrorRecord) -> None:
    """Add to the failures of a leased job."""
    assert record.boot_id is not None
    failure = Failure(record.claim_token, attempt, record.boot_id, now, error)
    if record.failures is None:
        record.failures = []
    record.failures.append(failure)
