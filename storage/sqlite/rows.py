"""Rows of the file as records, and records as rows. State codes stand for states here and in every statement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..job import Claimed, Job, JobState
from ..records import ErrorRecord, Failure, JobFilter, Node

AVAILABLE = JobState.AVAILABLE.code
SCHEDULED = JobState.SCHEDULED.code
RETRYABLE = JobState.RETRYABLE.code
EXECUTING = JobState.EXECUTING.code
COMPLETED = JobState.COMPLETED.code
FAILED = JobState.FAILED.code
CANCELLED = JobState.CANCELLED.code
TERMINAL_CODES = frozenset(state.code for state in JobState if state.is_terminal)
STATES: tuple[JobState, ...] = tuple(JobState)
ALL_STATES = (1 << len(STATES)) - 1

Row = Sequence[Any]  # as SQLite gives it; the functions below give it its types


def job_of(row: Row) -> Job:
    """A row of `get.sql` and `select.sql`."""
    (
        job_id,
        queue,
        name,
        state,
        priority,
        vtime,
        run_at,
        inserted_at,
        attempt,
        claim_token,
        crashes,
        payload,
        timeout_ms,
        boot_id,
        lease_until,
        started_at,
        finished_at,
        cancel_requested,
        result,
        reason,
        progress,
    ) = row
    return Job(
        id=job_id,
        name=name,
        queue=queue,
        state=STATES[state],
        priority=priority,
        vtime=vtime,
        run_at=run_at,
        inserted_at=inserted_at,
        attempt=attempt,
        claim_token=claim_token,
        crashes=crashes,
        payload=payload,
        timeout_ms=timeout_ms,
        boot_id=boot_id,
        lease_until=lease_until,
        started_at=started_at,
        finished_at=finished_at,
        cancel_requested=bool(cancel_requested),
        result=result,
        reason=reason,
        progress=progress,
    )


def claims_of(rows: Iterable[Row], queue: str) -> dict[bytes, Claimed]:
    """What `claim_read.sql` gives, by job id."""
    found: dict[bytes, Claimed] = {}
    for joined, numbers in rows:
        at = 0
        for priority, attempt, claim_token, crashes, inserted_at, timeout_ms, name_length, length in _rows(numbers):
            job_id = joined[at : at + 16]
            start = at + 16 + name_length
            found[job_id] = Claimed(
                job_id,
                joined[at + 16 : start].decode(),
                queue,
                joined[start : start + length],
                priority,
                attempt,
                claim_token,
                crashes,
                inserted_at,
                None if timeout_ms < 0 else timeout_ms,
            )
            at = start + length
    return found


def leases_of(text: str | None) -> dict[bytes, tuple[int, str, bool]]:
    """What `held.sql` gives: by job id its claim token, its queue, and whether cancellation was requested."""
    return {
        bytes.fromhex(job_id): (claim_token, bytes.fromhex(queue).decode(), bool(cancel_requested))
        for job_id, claim_token, queue, cancel_requested in _rows(text)
    }


def ids_of(text: str | None) -> list[bytes]:
    """Ids written one after the other in hexadecimal."""
    joined = bytes.fromhex(text or "")
    return [joined[at : at + 16] for at in range(0, len(joined), 16)]


def failure_of(row: Row) -> Failure:
    """A row of `failures.sql`."""
    claim_token, attempt, boot_id, failed_at, kind, message, traceback = row
    return Failure(claim_token, attempt, boot_id, failed_at, ErrorRecord(kind, message, traceback))


def node_of(row: Row) -> Node:
    """A row of `nodes/list.sql`."""
    boot_id, host, pid, version, started_at, report, seen_at = row
    return Node(boot_id, host, pid, version, started_at, report, seen_at)


def filter_parameters(wanted: JobFilter) -> dict[str, str | int | None]:
    """A filter as `select.sql` and `count.sql` take it."""
    mask = sum(1 << state.code for state in wanted.states) if wanted.states else ALL_STATES
    return {"states": mask, "queue": wanted.queue, "name": wanted.name}


def _rows(text: str | None) -> Iterable[Row]:
    rows: Iterable[Row] = json.loads(f"[{text or ''}]")
    return rows
