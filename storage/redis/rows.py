"""Headers and columns as scripts give them, as records; and records as scripts take them.

A header is what transitions change, in few bytes, and behind it the queue and the name. The payload lies apart, so that
no transition copies it, and whatever bytes it holds it can be given to a node.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgpack

from ..errors import Corrupt
from ..job import Claimed, Job, JobState, NewJob
from ..records import ErrorRecord, Failure, Finish, Node

AVAILABLE = JobState.AVAILABLE.code
SCHEDULED = JobState.SCHEDULED.code
RETRYABLE = JobState.RETRYABLE.code
CANCELLED = JobState.CANCELLED.code
STATES: tuple[JobState, ...] = tuple(JobState)
NEVER = -1  # a time or a timeout that is not set
NOBODY = bytes(16)
PRIORITY = 1 << 50  # above every millisecond; times 3 still exact in a double, as prelude.lua has it

# state, claim_token, boot_id, cancel_requested, attempt, started_at, finished_at, priority, crashes, vtime, run_at,
# inserted_at, timeout_ms; prelude.lua knows the same
HEAD = struct.Struct(">Bq16sBiqqBiqqqq")
_CLAIMED = struct.Struct(">xq16xxi8x8xBi8x8xqq")  # of these what a claim tells: token, attempt, priority, ...
_LENGTH = struct.Struct(">H")
ROLE = struct.Struct(">qq16s")  # number, lease_until, holder; prelude.lua knows the same

Columns = Sequence[Any]  # as a script gives them; the functions below give them their types


def packed(batch: Any) -> bytes:
    """A batch as scripts read it: text and bytes alike, since Redis knows no bin type."""
    encoded: bytes = msgpack.packb(batch, use_bin_type=False)
    return encoded


def inserted(jobs: Sequence[NewJob], now: int, channel: str = "", hint: str | bytes | None = None) -> bytes:
    """The batch of `insert.lua`."""
    heads: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # a header says nothing of one job alone: most share one
    batch: list[Any] = [channel, hint or False]
    for job_id, name, queue, payload, priority, asked, timeout_ms in jobs:
        alike = name, queue, priority, asked, timeout_ms
        found = heads.get(alike)
        if found is None:
            found = heads[alike] = _waiting(name, queue, priority, now if asked is None else asked, timeout_ms, now)
        batch += (job_id, payload, *found)
    return packed(batch)


def _waiting(
    name: str, queue: str, priority: int, run_at: int, timeout_ms: int | None, now: int
) -> tuple[bytes, bytes, int, str]:
    """Header, queue, state and score of a new job."""
    state = AVAILABLE if run_at <= now else SCHEDULED
    times = NEVER, NEVER, priority, 0, run_at, run_at, now, NEVER if timeout_ms is None else timeout_ms
    line = queue.encode()
    head = HEAD.pack(state, 0, NOBODY, 0, 0, *times) + _LENGTH.pack(len(line)) + line + name.encode()
    score = run_at if state == SCHEDULED else priority * PRIORITY + run_at
    return head, line, state, str(score)


def claimed_of(job_id: bytes, head: bytes, payload: bytes | None, queue: str) -> Claimed:
    """A job that a claim gave."""
    token, attempt, priority, crashes, inserted_at, timeout_ms = _CLAIMED.unpack_from(head)
    _, name = _names(head[HEAD.size :])
    timeout = None if timeout_ms == NEVER else timeout_ms
    return Claimed(job_id, name, queue, payload or b"", priority, attempt, token, crashes, inserted_at, timeout)


def ended(ends: Sequence[Finish], boot_id: bytes, now: int) -> bytes:
    """The batch of `finish.lua`."""
    ids, tokens, _, states, attempts, results, reasons, errors = zip(*ends, strict=True)
    count = len(ends)
    failures = (
        False
        if errors.count(None) == count
        else [
            None if error is None else packed_failure(token, attempt, boot_id, now, error)
            for token, attempt, error in zip(tokens, attempts, errors, strict=True)
        ]
    )
    return packed(
        (
            now,
            boot_id,
            ids,
            tokens[0] if tokens.count(tokens[0]) == count else tokens,
            states[0].code if states.count(states[0]) == count else [state.code for state in states],
            results.count(None) < count and results,
            reasons.count(None) < count and reasons,
            failures,
        )
    )


def jobs_of(columns: Columns) -> dict[bytes, Job]:
    """The jobs of `rows_of` in prelude.lua, by id in its order; unknown ones are left out."""
    found: dict[bytes, Job] = {}
    for job_id, head, payload, result, reason, progress, lease_until in zip(*columns, strict=True):
        if head is None:
            continue
        (
            state,
            claim_token,
            boot_id,
            cancel_requested,
            attempt,
            started_at,
            finished_at,
            priority,
            crashes,
            vtime,
            run_at,
            inserted_at,
            timeout_ms,
        ) = HEAD.unpack_from(head)
        queue, name = _names(head[HEAD.size :])
        found[job_id] = Job(
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
            payload=payload or b"",
            timeout_ms=_unless_never(timeout_ms),
            boot_id=None if boot_id == NOBODY else boot_id,
            lease_until=_unless_never(lease_until),
            started_at=_unless_never(started_at),
            finished_at=_unless_never(finished_at),
            cancel_requested=bool(cancel_requested),
            result=result,
            reason=None if reason is None else _text(reason),
            progress=progress,
        )
    return found


def packed_failure(claim_token: int, attempt: int, boot_id: bytes, now: int, error: ErrorRecord) -> bytes:
    """One failure, to be joined to those before it."""
    return packed((claim_token, attempt, boot_id, now, *error))


def failures_of(joined: bytes | None) -> list[Failure]:
    """The failures of a job, oldest first. Raises `Corrupt` for bytes that nobody wrote here."""
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(joined or b"")
    try:
        return [
            Failure(token, attempt, boot_id, at, ErrorRecord(_text(kind), _text(message), _text(traceback)))
            for token, attempt, boot_id, at, kind, message, traceback in unpacker
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt(f"what is kept of a job's failures cannot be read: {error}") from error


def packed_node(node: Node) -> bytes:
    """What a node says of itself once."""
    return packed((node.host, node.pid, node.version, node.started_at))


def packed_sight(seen_at: int, report: bytes) -> bytes:
    """What a node says with each beat."""
    return packed((seen_at, report))


def node_of(boot_id: bytes, said: bytes, seen: bytes) -> Node:
    """A row of a node. One that no version of this code wrote is that of a node never seen, which is soon forgotten."""
    try:
        host, pid, version, started_at = msgpack.unpackb(said, raw=True)
        seen_at, report = msgpack.unpackb(seen, raw=True)
        if all(isinstance(number, int) for number in (pid, started_at, seen_at)) and isinstance(report, bytes):
            return Node(boot_id, _text(host), pid, _text(version), started_at, report, seen_at)
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
        pass
    return Node(boot_id, host="(unreadable)", pid=0, version="", started_at=0)


@lru_cache(maxsize=1024)
def _names(tail: bytes) -> tuple[str, str]:
    """Queue and name, which follow the fixed part of a header."""
    [length] = _LENGTH.unpack_from(tail)
    end = _LENGTH.size + length
    return _text(tail[_LENGTH.size : end]), _text(tail[end:])


def _text(raw: bytes) -> str:
    """Text for people to read, whatever somebody has written there."""
    return raw.decode(errors="backslashreplace")


def _unless_never(value: int) -> int | None:
    return None if value == NEVER else value
