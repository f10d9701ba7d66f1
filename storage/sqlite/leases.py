"""The verbs about leases: `heartbeat` renews them, `rescue` takes expired ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from ..records import Beat, ErrorRecord, HeartbeatReply, Orphan, Rescued
from ..statements import load
from .rows import AVAILABLE, CANCELLED, EXECUTING, FAILED, STATES, leases_of
from .transaction import Shortfall, Transaction, Value

_RENEW = load(__package__, "sql/leases/renew.sql")
_HELD = load(__package__, "sql/leases/held.sql")
_EXPIRED = load(__package__, "sql/leases/expired.sql")
_END_OF = load(__package__, "sql/leases/end_of.sql")
_RESCUE = load(__package__, "sql/leases/rescue.sql")
_FAIL = load(__package__, "sql/jobs/fail.sql")
_BEAT_NODE = load(__package__, "sql/nodes/beat.sql")
_LEASE_LOST = ErrorRecord("lease lost", "the lease ran out before the attempt ended", "")


class Heartbeat(NamedTuple):
    """One call of `heartbeat`."""

    beats: Sequence[Beat]
    boot_id: bytes
    lease_ms: int
    report: bytes


class Rescue(NamedTuple):
    """One call of `rescue`."""

    limit: int
    max_crashes: int
    dead: Sequence[bytes] = ()  # boot ids whose leases are over, whatever their time


def heartbeat(tx: Transaction, calls: Sequence[Heartbeat]) -> list[HeartbeatReply]:
    """Per call: what the renewal found out."""
    return [_renew(tx, call) for call in calls]


def rescue(tx: Transaction, calls: Sequence[Rescue]) -> list[list[Rescued]]:
    """Per call: what was taken from its holder."""
    return [_rescue(tx, call) for call in calls]


def _renew(tx: Transaction, call: Heartbeat) -> HeartbeatReply:
    values: list[Value] = []
    for beat in call.beats:
        values += (beat.id, beat.claim_token, call.boot_id, beat.progress)
    tx.write_rows(_RENEW, values, 4, first=(tx.lease_now + call.lease_ms,))
    tx.write(_BEAT_NODE, (tx.now, call.report, call.boot_id))
    [text] = cast("tuple[str | None]", tx.one(_HELD, (call.boot_id,)))
    held = leases_of(text)
    lost: list[bytes] = []
    cancel_requested: list[bytes] = []
    for beat in call.beats:
        claim_token, _, is_cancel_requested = held.pop(beat.id, (-1, "", False))
        if claim_token != beat.claim_token:
            lost.append(beat.id)
        elif is_cancel_requested:
            cancel_requested.append(beat.id)
    orphans = [Orphan(job_id, claim_token, queue) for job_id, (claim_token, queue, _) in held.items()]
    return HeartbeatReply(lost, cancel_requested, orphans)


def _rescue(tx: Transaction, call: Rescue) -> list[Rescued]:
    rows: list[Value] = []
    failures: list[Value] = []
    rescued: list[Rescued] = []
    for boot_id in call.dead:
        tx.write(_END_OF, (boot_id,))
    for row in tx.all(_EXPIRED, (tx.lease_now, call.limit)):
        job_id, queue, claim_token, attempt, boot_id, crashes, is_cancel_requested = cast(
            "tuple[bytes, str, int, int, bytes, int, int]", row
        )
        code = FAILED if crashes + 1 >= call.max_crashes else AVAILABLE
        if is_cancel_requested:
            code = CANCELLED
        rows += (job_id, claim_token, boot_id, code, None if code == AVAILABLE else tx.now)
        failures += (job_id, claim_token, attempt, boot_id, tx.now, *_LEASE_LOST)
        tx.moved(queue, EXECUTING, code)
        rescued.append(Rescued(job_id, queue, STATES[code]))
    if tx.write_rows(_RESCUE, rows, 5) < len(rescued):
        raise Shortfall
    tx.write_rows(_FAIL, failures, 8)
    return rescued
