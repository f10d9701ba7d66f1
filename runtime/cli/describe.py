"""Stored rows as what commands print: plain objects for --json (their keys are stable), cells for tables."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import Any

from ...actors.calls import read_call
from ...kernel.codec import Undecodable, decode
from ...storage.ids import format_id
from ...storage.job import Job, JobState
from ...storage.records import Failure, Node, QueueRow
from .output import Column, iso, since, span

JOB_COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("QUEUE"),
    Column("STATE", is_state=True),
    Column("TRY", is_number=True),
    Column("WHEN"),
    Column("REASON"),
)
_ALWAYS_SHOWN = frozenset({JobState.AVAILABLE, JobState.EXECUTING, JobState.COMPLETED, JobState.FAILED})


def job_object(job: Job) -> dict[str, object]:
    """A job without what it carries: arguments and results are shown one job at a time."""
    return {
        "id": format_id(job.id),
        "name": job.name,
        "queue": job.queue,
        "state": job.state.value,
        "priority": job.priority,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "enqueued_at": iso(job.inserted_at),
        "run_at": iso(job.run_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "timeout": None if job.timeout_ms is None else job.timeout_ms / 1000,
        "cancel_requested": job.cancel_requested,
        "reason": job.reason,
    }


def job_row(job: Job, now_ms: int) -> list[str]:
    return [
        format_id(job.id),
        job.name,
        job.queue,
        job.state.value,
        str(job.attempt),
        _when(job, now_ms),
        job.reason or ("cancel requested" if job.cancel_requested else ""),
    ]


def _when(job: Job, now_ms: int) -> str:
    """The time that matters in its state: of its end, of its start, or when it is due."""
    if job.state.is_terminal:
        return since(job.finished_at if job.finished_at is not None else job.inserted_at, now_ms, is_short=True)
    if job.state is JobState.EXECUTING:
        return "for " + since(job.started_at or job.inserted_at, now_ms, is_short=True).removesuffix(" ago")
    return since(job.run_at, now_ms, is_short=True)


def carried(job: Job) -> dict[str, object]:
    """What a job carries: its arguments, its result, what its handler last reported."""
    args, kwargs = _arguments(job)
    progress, message = _progress(job)
    result = stored_value(job.result)
    return {"args": args, "kwargs": kwargs, "result": result, "progress": progress, "message": message}


def _arguments(job: Job) -> tuple[object, object]:
    try:
        args, kwargs = read_call(job.payload)
    except Undecodable as exc:
        return {"undecodable": str(exc)}, None
    return plain(args), plain(kwargs)


def _progress(job: Job) -> tuple[object, object]:
    match stored_value(job.progress):
        case [progress, message]:
            return progress, message
    return None, None


def job_facts(job: Job, now_ms: int) -> list[list[str]]:
    """A job as label and value, what does not apply left out."""
    things = carried(job)
    facts: list[tuple[str, str | None]] = [
        ("job", format_id(job.id)),
        ("name", job.name),
        ("queue", job.queue),
        ("state", job.state.value + (", asked to stop" if job.cancel_requested and not job.state.is_terminal else "")),
        ("reason", job.reason),
        ("priority", str(job.priority)),
        ("attempt", str(job.attempt)),
        ("crashes", str(job.crashes) if job.crashes else None),
        ("timeout", None if job.timeout_ms is None else span(job.timeout_ms / 1000)),
        ("enqueued", _moment(job.inserted_at, now_ms)),
        ("due", None if job.state.is_terminal else _moment(job.run_at, now_ms)),
        ("started", _moment(job.started_at, now_ms)),
        ("finished", _moment(job.finished_at, now_ms)),
        ("node", None if job.boot_id is None else job.boot_id.hex()[:12]),
        ("progress", None if things["progress"] is None else f"{things['progress']}"),
        ("message", None if things["message"] is None else f"{things['message']}"),
        ("args", json.dumps(things["args"], ensure_ascii=False)),
        ("kwargs", json.dumps(things["kwargs"], ensure_ascii=False) if things["kwargs"] else None),
        ("result", json.dumps(things["result"], ensure_ascii=False) if job.result is not None else None),
    ]
    return [[label, value] for label, value in facts if value is not None]


def _moment(wall_ms: int | None, now_ms: int) -> str | None:
    return None if wall_ms is None else f"{iso(wall_ms)} ({since(wall_ms, now_ms)})"


def failure_object(failure: Failure) -> dict[str, object]:
    return {
        "attempt": failure.attempt,
        "failed_at": iso(failure.failed_at),
        "node": failure.boot_id.hex(),
        "kind": failure.error.kind,
        "message": failure.error.message,
        "traceback": failure.error.traceback,
    }


def queue_object(row: QueueRow) -> dict[str, object]:
    return {
        "name": row.name,
        "paused": row.is_paused,
        "counts": {state.value: row.counts.get(state, 0) for state in JobState},
        "oldest_run_at": iso(row.oldest_run_at),
    }


def queue_table(rows: Sequence[QueueRow], now_ms: int) -> tuple[list[Column], list[list[str]]]:
    """Columns and cells. A rarer state is left out while no queue has such jobs, so that the table fits a terminal."""
    states = [state for state in JobState if state in _ALWAYS_SHOWN or any(row.counts.get(state) for row in rows)]
    columns = [Column(state.value.upper(), is_number=True) for state in states]
    cells = [
        [
            row.name,
            "paused" if row.is_paused else "",
            *(f"{row.counts.get(state, 0):,}" for state in states),
            "" if row.oldest_run_at is None else since(row.oldest_run_at, now_ms, is_short=True),
        ]
        for row in rows
    ]
    return [Column("QUEUE"), Column("", is_state=True), *columns, Column("OLDEST")], cells


def node_object(node: Node) -> dict[str, object]:
    return {
        "node": node.boot_id.hex(),
        "host": node.host,
        "pid": node.pid,
        "version": node.version,
        "started_at": iso(node.started_at),
        "seen_at": iso(node.seen_at),
        "report": stored_value(node.report),
    }


def stored_value(encoded: bytes | None) -> object:
    """A stored value in plain JSON types; None for nothing, and a word in its place where it cannot be read."""
    if not encoded:
        return None
    try:
        return plain(decode(encoded))
    except Undecodable as exc:
        return {"undecodable": str(exc)}


def plain(value: Any) -> object:
    """`value` in JSON's types: times in ISO 8601, timedeltas as seconds, bytes in base64, all else as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date | time) else str(value)
