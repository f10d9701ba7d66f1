"""The verb `insert`.

Ids are new, as a rule: they are random. So the statement that goes first takes no precaution against known ones, which
costs the server a fifth less; where it meets one it fails whole, and the careful one follows. A column in which all
jobs of a batch are alike travels as one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from ...kernel.clock import Clock
from ..errors import StorageError
from ..job import NewJob
from ..records import Hint
from ..role import Term
from .fences import run_fenced
from .lane import TIMEOUT_S, Connection, Lane
from .rows import columns
from .wakeups import telling

# What a server says that has no room for more notifications, or where this user may send none.
_NOT_TOLD = (asyncpg.ProgramLimitExceededError, asyncpg.InsufficientPrivilegeError)
_ROW_S = 0.001  # what each row of a bulk adds to the time that a call may take


class Inserts:
    """Inserts of one handle."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def insert(self, jobs: Mapping[bytes, NewJob], fence: Term | None, hint: Hint | None) -> set[bytes]:
        """The ids that were created. To be told is no condition of an insert: without it, the hint is lost."""
        if hint is None or hint.is_lost:
            return await self._insert(jobs, fence, None)
        try:
            created = await self._insert(jobs, fence, hint.message)
        except StorageError as error:
            hint.is_lost = True
            if isinstance(error.__cause__, _NOT_TOLD):
                return await self._insert(jobs, fence, None)
            raise
        if not created:
            hint.is_lost = True
        return created

    async def _insert(
        self, jobs: Mapping[bytes, NewJob], fence: Term | None, message: str | bytes | None
    ) -> set[bytes]:
        server = self._lane.server
        hopeful, careful = server.text("jobs/insert_new"), server.text("jobs/insert")
        values = columns_of(jobs, self._clock.wall_ms())
        if message is not None:
            hopeful, careful = telling(hopeful), telling(careful)
            values += (server.options.channel, message)
        timeout_s = TIMEOUT_S + len(jobs) * _ROW_S

        async def insert(connection: Connection) -> set[bytes]:
            if fence is not None:  # a statement that fails would end the transaction
                return {row["id"] for row in await connection.fetch(careful, *values, timeout=timeout_s)}
            try:
                await connection.fetch(hopeful, *values, timeout=timeout_s)
            except asyncpg.UniqueViolationError:
                return {row["id"] for row in await connection.fetch(careful, *values, timeout=timeout_s)}
            return set(jobs)

        return await run_fenced(self._lane, fence, insert, is_new_work=True)


def columns_of(jobs: Mapping[bytes, NewJob], now: int) -> list[Any]:
    """What `insert.sql` and `insert_new.sql` take, but for channel and hint."""
    ordered = [jobs[job_id] for job_id in sorted(jobs)]
    ids, names, queues, payloads, priorities, run_ats, timeouts = columns(ordered, 7)
    count = len(ids)
    if run_ats.count(None) > 0:
        run_ats = tuple([now if run_at is None else run_at for run_at in run_ats])
    return [
        ids,
        _short(queues),
        _short(names),
        _short(priorities),
        _short(run_ats),
        [] if timeouts.count(None) == count else timeouts,
        payloads,
        now,
    ]


def _short(column: tuple[Any, ...]) -> tuple[Any, ...]:
    return column[:1] if column and column.count(column[0]) == len(column) else column
