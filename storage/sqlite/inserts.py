"""The verb `insert`: new jobs of many callers as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..job import NewJob
from ..role import Term
from ..statements import load
from .roles import check_term
from .rows import AVAILABLE, SCHEDULED
from .transaction import Shortfall, Transaction, Value

_INSERT = load(__package__, "sql/jobs/insert.sql")
_WIDTH = 10


class Fenced(NamedTuple):
    """One call of `insert` with a term as its fence."""

    jobs: Sequence[NewJob]
    fence: Term


def insert(tx: Transaction, calls: Sequence[Sequence[NewJob]]) -> list[list[bool]]:
    """Per call and job: whether it was created."""
    if tx.is_careful:
        return [[_insert_one(tx, job) for job in jobs] for jobs in calls]
    now = tx.now
    values: list[Value] = []
    added: dict[tuple[str, int], int] = {}
    for jobs in calls:
        for job_id, name, queue, payload, priority, run_at, timeout_ms in jobs:
            if run_at is None:
                run_at = now
            state = AVAILABLE if run_at <= now else SCHEDULED
            values += (job_id, queue, name, state, priority, run_at, run_at, now, timeout_ms, payload)
            key = (queue, state)
            added[key] = added.get(key, 0) + 1
    if tx.write_rows(_INSERT, values, _WIDTH) < len(values) // _WIDTH:
        raise Shortfall
    for (queue, state), count in added.items():
        tx.moved(queue, None, state, count)
    return [[True] * len(jobs) for jobs in calls]


def insert_fenced(tx: Transaction, calls: Sequence[Fenced]) -> list[list[bool]]:
    """Per call and job: whether it was created. Raises `TermOver`."""
    answers: list[list[bool]] = []
    for jobs, fence in calls:
        check_term(tx, fence)
        answers += insert(tx, [jobs])
    return answers


def _insert_one(tx: Transaction, job: NewJob) -> bool:
    run_at = tx.now if job.run_at is None else job.run_at
    state = AVAILABLE if run_at <= tx.now else SCHEDULED
    row = (job.id, job.queue, job.name, state, job.priority, run_at, run_at, tx.now, job.timeout_ms, job.payload)
    if not tx.write(_INSERT, row):
        return False
    tx.moved(job.queue, None, state)
    return True
