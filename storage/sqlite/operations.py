"""The verbs of operators and of housekeeping: `cancel`, `revive`, `delete`, `prune`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, cast

from ..records import CancelAnswer
from ..role import Term
from ..statements import load
from .roles import check_term
from .rows import AVAILABLE, CANCELLED, EXECUTING, TERMINAL_CODES
from .transaction import Transaction

_STAND = load(__package__, "sql/jobs/stand.sql")
_CANCEL = load(__package__, "sql/jobs/cancel.sql")
_CANCEL_REQUEST = load(__package__, "sql/jobs/cancel_request.sql")
_REVIVE = load(__package__, "sql/jobs/revive.sql")
_REVIVE_AVAILABLE = load(__package__, "sql/jobs/revive_available.sql")
_DELETE = load(__package__, "sql/jobs/delete.sql")
_DELETE_FAILURES = load(__package__, "sql/jobs/delete_failures.sql")
_PRUNE = load(__package__, "sql/jobs/prune.sql")


class Cancel(NamedTuple):
    """One call of `cancel`."""

    job_ids: Sequence[bytes]
    reason: str


class Prune(NamedTuple):
    """One call of `prune`."""

    finished_before: int
    limit: int
    fence: Term | None = None


def cancel(tx: Transaction, calls: Sequence[Cancel]) -> list[list[CancelAnswer]]:
    """Per call and job: what the cancel met."""
    return [[_cancel(tx, job_id, call.reason) for job_id in call.job_ids] for call in calls]


def revive(tx: Transaction, calls: Sequence[Sequence[bytes]]) -> list[list[bool]]:
    """Per call and job: whether it is available now."""
    return [[_revive(tx, job_id) for job_id in job_ids] for job_ids in calls]


def delete(tx: Transaction, calls: Sequence[Sequence[bytes]]) -> list[list[bool]]:
    """Per call and job: whether it was removed."""
    return [[_delete(tx, job_id) for job_id in job_ids] for job_ids in calls]


def prune(tx: Transaction, calls: Sequence[Prune]) -> list[int]:
    """Per call: how many jobs were removed."""
    return [_prune(tx, call) for call in calls]


def _cancel(tx: Transaction, job_id: bytes, reason: str) -> CancelAnswer:
    queue, state = _stand(tx, job_id)
    if state is None:
        return CancelAnswer.MISSING
    if state == CANCELLED:
        return CancelAnswer.CANCELLED
    if state in TERMINAL_CODES:
        return CancelAnswer.TOO_LATE
    if state == EXECUTING:
        tx.write(_CANCEL_REQUEST, (reason, job_id))
        return CancelAnswer.REQUESTED
    tx.write(_CANCEL, (reason, tx.now, job_id))
    tx.moved(queue, state, CANCELLED)
    return CancelAnswer.CANCELLED


def _revive(tx: Transaction, job_id: bytes) -> bool:
    queue, state = _stand(tx, job_id)
    if state is None or state == EXECUTING:
        return False
    if state == AVAILABLE:
        tx.write(_REVIVE_AVAILABLE, (job_id,))
        return True
    tx.write(_REVIVE, {"now": tx.now, "id": job_id})
    tx.moved(queue, state, AVAILABLE)
    return True


def _delete(tx: Transaction, job_id: bytes) -> bool:
    queue, state = _stand(tx, job_id)
    if state is None or state == EXECUTING:
        return False
    tx.write(_DELETE, (job_id,))
    tx.write(_DELETE_FAILURES, (job_id,))
    tx.moved(queue, state, None)
    return True


def _prune(tx: Transaction, call: Prune) -> int:
    check_term(tx, call.fence)
    rows = cast("list[tuple[bytes, str, int]]", tx.all(_PRUNE, (call.finished_before, call.limit)))
    ids = [job_id for job_id, _, _ in rows]
    tx.write_rows(_DELETE, ids, 1)
    tx.write_rows(_DELETE_FAILURES, ids, 1)
    for (queue, state), count in Counter((queue, state) for _, queue, state in rows).items():
        tx.moved(queue, state, None, count)
    return len(ids)


def _stand(tx: Transaction, job_id: bytes) -> tuple[str, int | None]:
    found = tx.one(_STAND, (job_id,))
    if found is None:
        return "", None
    queue, state, *_ = cast("tuple[str, int, int, bytes | None]", found)
    return queue, state
