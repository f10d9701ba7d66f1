"""The verb `claim`: promote what is due, look, lease, read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from ..job import Claimed
from ..records import ClaimReply, ClaimRequest
from ..statements import load
from .rows import AVAILABLE, EXECUTING, claims_of, ids_of
from .transaction import Transaction, Value

_PEEK = load(__package__, "sql/jobs/claim_peek.sql")
_CLAIM = load(__package__, "sql/jobs/claim.sql")
_READ = load(__package__, "sql/jobs/claim_read.sql")
_PROMOTE_COUNT = load(__package__, "sql/jobs/promote_count.sql")
_PROMOTE = load(__package__, "sql/jobs/promote.sql")
_LEAST_PROMOTED = 100


class Claim(NamedTuple):
    """One call of `claim`."""

    requests: Sequence[ClaimRequest]
    boot_id: bytes
    lease_ms: int


def claim(tx: Transaction, calls: Sequence[Claim]) -> list[list[ClaimReply]]:
    """Per call and request: what was leased."""
    return [[_claim(tx, request, call) for request in call.requests] for call in calls]


def _claim(tx: Transaction, request: ClaimRequest, call: Claim) -> ClaimReply:
    queue, limit = request
    is_paused, next_run_at, ids = _peek(tx, queue, limit)
    if is_paused:
        return ClaimReply([], None, is_paused=True)
    if next_run_at is not None and next_run_at <= tx.now:
        _promote(tx, queue, max(_LEAST_PROMOTED, limit))
        _, next_run_at, ids = _peek(tx, queue, limit)
    if not ids:
        return ClaimReply([], next_run_at)
    tx.write_rows(_CLAIM, ids, 1, first=(call.boot_id, tx.lease_now + call.lease_ms, tx.now))
    tx.moved(queue, AVAILABLE, EXECUTING, len(ids))
    return ClaimReply(_read(tx, queue, ids), next_run_at)


def _peek(tx: Transaction, queue: str, limit: int) -> tuple[bool, int | None, list[bytes]]:
    found = tx.one(_PEEK, {"queue": queue, "limit": max(limit, 0)})  # below 0 means without limit
    is_paused, next_run_at, ids = cast("tuple[int | None, int | None, str | None]", found)
    return bool(is_paused), next_run_at, ids_of(ids)


def _promote(tx: Transaction, queue: str, limit: int) -> None:
    due: tuple[Value, ...] = (queue, tx.now, limit)
    for state, count in cast("list[tuple[int, int]]", tx.all(_PROMOTE_COUNT, due)):
        tx.moved(queue, state, AVAILABLE, count)
    tx.write(_PROMOTE, due)


def _read(tx: Transaction, queue: str, ids: Sequence[bytes]) -> list[Claimed]:
    by_id = claims_of(tx.read_rows(_READ, ids), queue)
    return [by_id[job_id] for job_id in ids]
