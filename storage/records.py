"""The small rows beside jobs, and what port methods take and give. All frozen; hot ones are named tuples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .job import Claimed, JobState


class ErrorRecord(NamedTuple):
    """One failed attempt's error, as text that is safe to store."""

    kind: str  # the exception's qualified name, or a reason such as "lease lost"
    message: str
    traceback: str


class Failure(NamedTuple):
    """An attempt that did not end well, as history keeps it."""

    claim_token: int
    attempt: int
    boot_id: bytes
    failed_at: int  # wall milliseconds
    error: ErrorRecord


class ClaimRequest(NamedTuple):
    """A wish for at most `limit` jobs of `queue`."""

    queue: str
    limit: int


class ClaimReply(NamedTuple):
    """Jobs in the order (priority, vtime, id), leased to the caller."""

    jobs: list[Claimed]
    next_run_at: int | None  # wall milliseconds of the queue's earliest scheduled or retryable job; unset if paused
    is_paused: bool = False


class Finish(NamedTuple):
    """An attempt's end: the job becomes `state`, a terminal one."""

    id: bytes
    claim_token: int
    queue: str
    state: JobState
    attempt: int
    result: bytes | None = None
    reason: str | None = None
    error: ErrorRecord | None = None


class Retry(NamedTuple):
    """A failed attempt that is followed by another at `run_at`."""

    id: bytes
    claim_token: int
    queue: str
    attempt: int
    run_at: int
    error: ErrorRecord


class Snooze(NamedTuple):
    """The handler asks to run later; the attempt is restored."""

    id: bytes
    claim_token: int
    queue: str
    run_at: int


class HandBack(NamedTuple):
    """A job given back unharmed, attempt restored and place in line kept; `run_at` None: at once."""

    id: bytes
    claim_token: int
    queue: str
    run_at: int | None = None


class Beat(NamedTuple):
    """One lease to renew, with the handler's latest progress if it changed."""

    id: bytes
    claim_token: int
    progress: bytes | None = None


class Orphan(NamedTuple):
    """A lease under the caller's boot id that the caller did not name."""

    id: bytes
    claim_token: int
    queue: str


class HeartbeatReply(NamedTuple):
    """What a renewal found out."""

    lost: list[bytes]  # no longer the caller's
    cancel_requested: list[bytes]
    orphans: list[Orphan]
    up_ms: int | None = None  # since the server started, where there is one
    trouble: str | None = None  # what an operator should know of the store now


class Rescued(NamedTuple):
    """A job whose lease had expired. `state`: available again, failed (poison) or cancelled (asked for before)."""

    id: bytes
    queue: str
    state: JobState


class CancelAnswer(Enum):
    """What a cancel met."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"  # executing: its node is told
    ENDING = "ending"  # a transaction that is open ends it, or not: nothing was noted, ask again once that is over
    TOO_LATE = "too late"  # it had ended
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list or a bulk verb means; an empty field means any."""

    states: frozenset[JobState] = frozenset()
    queue: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue as operators see it. A queue exists once a job was enqueued to it or it was paused."""

    name: str
    is_paused: bool
    counts: Mapping[JobState, int]  # every state, zeros too
    oldest_run_at: int | None  # of its available jobs, wall milliseconds


@dataclass(frozen=True, slots=True)
class Node:
    """A process that works on the store. The boot id is its identity; all else are labels."""

    boot_id: bytes
    host: str
    pid: int
    version: str
    started_at: int  # wall milliseconds
    report: bytes = b""  # encoded: queues and slots, parked queues and why, counters; renewed with each beat
    seen_at: int = 0  # wall milliseconds of the last beat


TOPICS = {
    "work": "jobs became available",
    "finished": "jobs ended",
    "control": "a job was cancelled, a queue paused or resumed",
    "lost": "a node's process died",
    "nodes": "a control message waits for a node (queue: its boot id in hexadecimal), or was answered (no queue)",
    "roles": "a role was resigned",
}


class Wakeup(NamedTuple):
    """A hint that looking is worth while; it may be lost or doubled."""

    topic: str  # one of TOPICS
    queue: str


@dataclass(slots=True, eq=False)
class Hint:
    """Wake-ups on their way with an insert, which tells others of them when it is committed."""

    message: str | bytes  # as the store tells them
    is_lost: bool = False  # an insert failed, created nothing, or could not tell it: then they are to be announced


class Finding(NamedTuple):
    """One line of a doctor's report."""

    level: str  # "ok" | "warn" | "fail"
    subject: str
    text: str
