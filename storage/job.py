"""What a job is, which states it passes, and which verb may move it from where to where. Pure.

Every store obeys `TRANSITIONS`; the contract suite tries each verb from each state on each store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    """Where a job stands. Stored as its `code`."""

    AVAILABLE = "available"  # may be claimed now
    SCHEDULED = "scheduled"  # waits for its run_at: enqueued with a delay, or snoozed
    RETRYABLE = "retryable"  # failed an attempt, waits for its run_at
    EXECUTING = "executing"  # leased to a node
    COMPLETED = "completed"
    FAILED = "failed"  # attempts, crash budget or a terminal error spent
    CANCELLED = "cancelled"
    DISCARDED = "discarded"  # dropped by a rule, or by the handler's own word

    @property
    def code(self) -> int:
        """The small integer that stores keep; never renumbered."""
        return _CODES[self]

    @property
    def is_terminal(self) -> bool:
        """True once no runtime will touch the job again by itself."""
        return self in TERMINAL

    @classmethod
    def of_code(cls, code: int) -> JobState:
        """The state kept under `code`; ValueError for a code that nobody wrote."""
        try:
            return _STATES[code]
        except (KeyError, TypeError):
            raise ValueError(f"{code!r} is no job state: expected 0 to {len(_STATES) - 1}") from None


_STATES: Mapping[int, JobState] = dict(enumerate(JobState))
_CODES: Mapping[JobState, int] = {state: code for code, state in _STATES.items()}

WAITING = frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.RETRYABLE})
TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.DISCARDED})


class Verb(StrEnum):
    """One word for one transition: in ports, statements, messages, tests and on the command line."""

    CLAIM = "claim"
    PROMOTE = "promote"  # due: its run_at has come
    FINISH = "finish"
    RETRY = "retry"
    SNOOZE = "snooze"
    HAND_BACK = "hand_back"
    RESCUE = "rescue"
    CANCEL = "cancel"
    REVIVE = "revive"  # an operator starts it anew, with a full budget
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states a verb is legal, and where it leads; no `targets`: the row is gone."""

    sources: frozenset[JobState]
    targets: frozenset[JobState]
    is_fenced: bool = False  # carries claim token and boot id, and is refused without them


def _one(*states: JobState) -> frozenset[JobState]:
    return frozenset(states)


_S = JobState
TRANSITIONS: Mapping[Verb, Transition] = {
    Verb.CLAIM: Transition(_one(_S.AVAILABLE), _one(_S.EXECUTING)),
    Verb.PROMOTE: Transition(_one(_S.SCHEDULED, _S.RETRYABLE), _one(_S.AVAILABLE)),
    Verb.FINISH: Transition(_one(_S.EXECUTING), TERMINAL, is_fenced=True),
    # cancelled: where cancellation was requested, no verb puts the job back in line
    Verb.RETRY: Transition(_one(_S.EXECUTING), _one(_S.RETRYABLE, _S.CANCELLED), is_fenced=True),
    Verb.SNOOZE: Transition(_one(_S.EXECUTING), _one(_S.SCHEDULED, _S.CANCELLED), is_fenced=True),
    Verb.HAND_BACK: Transition(_one(_S.EXECUTING), _one(_S.AVAILABLE, _S.SCHEDULED, _S.CANCELLED), is_fenced=True),
    Verb.RESCUE: Transition(_one(_S.EXECUTING), _one(_S.AVAILABLE, _S.FAILED, _S.CANCELLED), is_fenced=True),
    Verb.CANCEL: Transition(WAITING, _one(_S.CANCELLED)),  # an executing job is only marked: cancel_requested
    Verb.REVIVE: Transition(WAITING | TERMINAL, _one(_S.AVAILABLE)),
    Verb.DELETE: Transition(WAITING | TERMINAL, frozenset()),
}


def may(verb: Verb, state: JobState) -> bool:
    """Whether `verb` is legal from `state`."""
    return state in TRANSITIONS[verb].sources


class NewJob(NamedTuple):
    """A job as its producer asks for it. An insert repeated with the same id is the same job."""

    id: bytes
    name: str
    queue: str
    payload: bytes  # encoded arguments
    priority: int = 2  # 0 urgent to 3 low
    run_at: int | None = None  # wall milliseconds; None: at once
    timeout_ms: int | None = None  # of one attempt; None: as the handler's definition says


class Claimed(NamedTuple):
    """A job as the node that leased it sees it."""

    id: bytes
    name: str
    queue: str
    payload: bytes
    priority: int
    attempt: int  # of this claim, counted from 1
    claim_token: int  # the fence of all writes for this claim
    crashes: int
    inserted_at: int  # wall milliseconds
    timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """A stored job, whole. Times are milliseconds UTC by the store's clock, except `lease_until`: its lease clock."""

    id: bytes
    name: str
    queue: str
    state: JobState
    priority: int
    vtime: int  # orders jobs of one queue and priority
    run_at: int
    inserted_at: int
    attempt: int
    claim_token: int
    crashes: int
    payload: bytes
    timeout_ms: int | None = None
    boot_id: bytes | None = None  # of the node that claimed it last; None once that claim was taken from it
    lease_until: int | None = None  # only while executing
    started_at: int | None = None  # of the last attempt
    finished_at: int | None = None  # only while terminal
    cancel_requested: bool = False  # only while executing
    result: bytes | None = None  # encoded
    reason: str | None = None  # why it failed, was cancelled or discarded
    progress: bytes | None = None  # encoded [progress, message], as the handler last reported
