"""Rows as records, and records as rows. State codes stand for states here and in every statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..job import Claimed, Job, JobState
from ..records import ErrorRecord, Failure, JobFilter, Node

AVAILABLE = JobState.AVAILABLE.code
SCHEDULED = JobState.SCHEDULED.code
RETRYABLE = JobState.RETRYABLE.code
EXECUTING = JobState.EXECUTING.code
CANCELLED = JobState.CANCELLED.code
STATES: tuple[JobState, ...] = tuple(JobState)

Row = Any  # as the client gives it; the functions below give it its types


def job_of(row: Row) -> Job:
    """A row of `get.sql` and `select.sql`."""
    return Job(
        id=row["id"],
        name=row["name"],
        queue=row["queue"],
        state=STATES[row["state"]],
        priority=row["priority"],
        vtime=row["vtime"],
        run_at=row["run_at"],
        inserted_at=row["inserted_at"],
        attempt=row["attempt"],
        claim_token=row["claim_token"],
        crashes=row["crashes"],
        payload=row["payload"],
        timeout_ms=row["timeout_ms"],
        boot_id=row["boot_id"],
        lease_until=row["lease_until"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cancel_requested=row["cancel_requested"],
        result=row["result"],
        reason=row["reason"],
        progress=row["progress"],
    )


# Columns of claim.sql: first the fields of a claimed job, in their order, then its place in line and its queue's head.
CLAIMED = slice(0, 10)
JOB_ID, QUEUE, PRIORITY, VTIME, IS_PAUSED, NEXT_RUN_AT = 0, 2, 4, 10, 11, 12


def claimed_of(row: Row) -> Claimed:
    """A row of `claim.sql` that holds a job."""
    return tuple.__new__(Claimed, row[CLAIMED])


def failure_of(row: Row) -> Failure:
    """A row of `failures.sql`."""
    claim_token, attempt, boot_id, failed_at, kind, message, traceback = row
    return Failure(claim_token, attempt, boot_id, failed_at, ErrorRecord(kind, message, traceback))


def node_of(row: Row) -> Node:
    """A row of `nodes/list.sql`."""
    boot_id, host, pid, version, started_at, report, seen_at = row
    return Node(boot_id, host, pid, version, started_at, report, seen_at)


def codes_of(wanted: JobFilter) -> list[int]:
    """The states that a filter means, as codes."""
    return [state.code for state in wanted.states or JobState]


def in_order(job_ids: Iterable[bytes]) -> list[bytes]:
    """Ids each once, in the order in which every statement locks them."""
    return sorted(set(job_ids))


def columns(rows: Sequence[Sequence[object]], count: int) -> list[tuple[Any, ...]]:
    """Rows turned into one array per column."""
    return list(zip(*rows, strict=True)) if rows else [()] * count


def errors_of(errors: Sequence[ErrorRecord | None]) -> tuple[list[str | None], list[str | None], list[str | None]]:
    """Kinds, messages and tracebacks as arrays; empty ones where there is no error, which a statement reads as NULL."""
    if not any(errors):
        return [], [], []
    kinds: list[str | None] = []
    messages: list[str | None] = []
    tracebacks: list[str | None] = []
    for error in errors:
        kinds.append(None if error is None else storable(error.kind))
        messages.append(None if error is None else storable(error.message))
        tracebacks.append(None if error is None else storable(error.traceback))
    return kinds, messages, tracebacks


def storable(text: str) -> str:
    """A text as the server takes it: lone surrogates and NULs are replaced."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
