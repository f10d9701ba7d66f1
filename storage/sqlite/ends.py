"""The fenced verbs that end a claim: `finish`, `retry`, `snooze`, `hand_back`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, cast

from ..records import ErrorRecord, Finish, HandBack, Retry, Snooze
from ..statements import load
from .rows import AVAILABLE, CANCELLED, EXECUTING, RETRYABLE, SCHEDULED
from .transaction import Shortfall, Transaction, Value

_FINISH = load(__package__, "sql/jobs/finish.sql")
_PUT_BACK = load(__package__, "sql/jobs/put_back.sql")
_PUT_BACK_CANCELLED = load(__package__, "sql/jobs/put_back_cancelled.sql")
_STAND = load(__package__, "sql/jobs/stand.sql")
_FAIL = load(__package__, "sql/jobs/fail.sql")
_ROW = 6  # values of one row in finish.sql and put_back.sql
_FAILURE = 8


class Ends(NamedTuple):
    """One call of `finish`."""

    ends: Sequence[Finish]
    boot_id: bytes


class Back(NamedTuple):
    """A job that returns to the line, by whichever verb."""

    id: bytes
    claim_token: int
    boot_id: bytes
    queue: str
    state: int
    run_at: int | None  # None: as it is
    restored: int  # 1: the attempt does not count
    repeated_as: Collection[int]  # states in which a repeat of this write finds the job
    attempt: int = 0
    error: ErrorRecord | None = None


def finish(tx: Transaction, calls: Sequence[Ends]) -> list[list[bool]]:
    """Per call and end: whether it stands."""
    if tx.is_careful:
        return [[_finish_one(tx, end, call.boot_id) for end in call.ends] for call in calls]
    values: list[Value] = []
    failures: list[Value] = []
    moves: dict[tuple[str, int], int] = {}
    for call in calls:
        boot_id = call.boot_id
        for end in call.ends:
            code = end.state.code
            values += (end.id, end.claim_token, boot_id, code, end.result, end.reason)
            key = (end.queue, code)
            moves[key] = moves.get(key, 0) + 1
            if end.error is not None:
                failures += _failure(tx, end.id, end.claim_token, boot_id, end.attempt, end.error)
    if tx.write_rows(_FINISH, values, _ROW, first=(tx.now,)) < len(values) // _ROW:
        raise Shortfall
    tx.write_rows(_FAIL, failures, _FAILURE)
    for (queue, code), count in moves.items():
        tx.moved(queue, EXECUTING, code, count)
    return [[True] * len(call.ends) for call in calls]


def backs_of_retries(calls: Sequence[Retry], boot_id: bytes) -> list[Back]:
    """Retries as what they do."""
    states = (RETRYABLE, CANCELLED)
    return [
        Back(one.id, one.claim_token, boot_id, one.queue, RETRYABLE, one.run_at, 0, states, one.attempt, one.error)
        for one in calls
    ]


def backs_of_snoozes(calls: Sequence[Snooze], boot_id: bytes) -> list[Back]:
    """Snoozes as what they do."""
    states = (SCHEDULED, CANCELLED)
    return [Back(one.id, one.claim_token, boot_id, one.queue, SCHEDULED, one.run_at, 1, states) for one in calls]


def backs_of_hand_backs(calls: Sequence[HandBack], boot_id: bytes, now: int) -> list[Back]:
    """Hand-backs as what they do at wall millisecond `now`."""
    states = (AVAILABLE, SCHEDULED, CANCELLED)
    found: list[Back] = []
    for one in calls:
        ahead = one.run_at if one.run_at is not None and one.run_at > now else None
        state = AVAILABLE if ahead is None else SCHEDULED
        found.append(Back(one.id, one.claim_token, boot_id, one.queue, state, ahead, 1, states))
    return found


def put_back(tx: Transaction, calls: Sequence[Sequence[Back]]) -> list[list[bool]]:
    """Per call and job: whether it stands."""
    if tx.is_careful:
        return [[_put_back_one(tx, back) for back in call] for call in calls]
    values: list[Value] = []
    failures: list[Value] = []
    for call in calls:
        for back in call:
            values += (back.id, back.claim_token, back.boot_id, back.state, back.run_at, back.restored)
            if back.error is not None:
                failures += _failure(tx, back.id, back.claim_token, back.boot_id, back.attempt, back.error)
    if tx.write_rows(_PUT_BACK, values, _ROW) < len(values) // _ROW:
        raise Shortfall  # lost, repeated, or somebody asked to cancel it
    tx.write_rows(_FAIL, failures, _FAILURE)
    for call in calls:
        for back in call:
            tx.moved(back.queue, EXECUTING, back.state)
    return [[True] * len(call) for call in calls]


def _finish_one(tx: Transaction, end: Finish, boot_id: bytes) -> bool:
    code = end.state.code
    row = (tx.now, end.id, end.claim_token, boot_id, code, end.result, end.reason)
    if not tx.write(_FINISH, row):
        return _stands(tx, end.id, end.claim_token, boot_id, (code,))
    if end.error is not None:
        tx.write(_FAIL, _failure(tx, end.id, end.claim_token, boot_id, end.attempt, end.error))
    tx.moved(end.queue, EXECUTING, code)
    return True


def _put_back_one(tx: Transaction, back: Back) -> bool:
    fence = (back.id, back.claim_token, back.boot_id)
    if tx.write(_PUT_BACK, (*fence, back.state, back.run_at, back.restored)):
        tx.moved(back.queue, EXECUTING, back.state)
    elif tx.write(_PUT_BACK_CANCELLED, (tx.now, back.restored, *fence)):
        tx.moved(back.queue, EXECUTING, CANCELLED)
    else:
        return _stands(tx, *fence, back.repeated_as)
    if back.error is not None:
        tx.write(_FAIL, _failure(tx, *fence, back.attempt, back.error))
    return True


def _stands(tx: Transaction, job_id: bytes, claim_token: int, boot_id: bytes, states: Collection[int]) -> bool:
    """Whether a fenced write that was refused had been written before by the same claim."""
    found = tx.one(_STAND, (job_id,))
    if found is None:
        return False
    _, state, *claim = cast("tuple[str, int, int, bytes | None]", found)
    return state in states and claim == [claim_token, boot_id]


def _failure(
    tx: Transaction, job_id: bytes, claim_token: int, boot_id: bytes, attempt: int, error: ErrorRecord
) -> tuple[Value, ...]:
    return (job_id, claim_token, attempt, boot_id, tx.now, error.kind, error.message, error.traceback)
