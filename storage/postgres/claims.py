"""The verb `claim`, and the promotion that goes before it.

Claimed rows leave dead entries at the head of the line until they are vacuumed, and every claim walks over them; an old
snapshot held open anywhere keeps them all. So under load a claim starts where the last one of this handle ended, less
`_SLACK_MS` for jobs whose insert was committed late. Once a second, and whenever a batch comes back short, it looks
from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from ...kernel.clock import Clock, SystemClock
from ..errors import Unavailable
from ..records import ClaimReply, ClaimRequest
from .lane import Lane
from .rows import IS_PAUSED, JOB_ID, NEXT_RUN_AT, PRIORITY, QUEUE, VTIME, Row, claimed_of

_LEAST_PROMOTED = 100
_UNDER_LOAD = 64  # jobs in a full batch from which on a line counts as long
_SLACK_MS = 100
_FROM_START_S = 1.0
_START = -(2**63)
_PLACE = itemgetter(PRIORITY, VTIME, JOB_ID)


_ByQueue = tuple[dict[str, Row], dict[str, list[Row]]]  # a row of each queue, and those rows of it that hold a job


@dataclass(slots=True)
class _Line:
    """What this handle remembers of a queue."""

    floors: list[int] = field(default_factory=lambda: [_START] * 4)  # vtime to start from, by priority
    from_start_at: float = 0.0  # monotonic seconds
    next_run_at: int | None = None


class Claims:
    """Claims of one handle."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock
        self._monotonic = SystemClock()
        self._lines: dict[str, _Line] = {}

    async def claim(self, requests: Sequence[ClaimRequest], boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        """Per request: what was leased."""
        limits: dict[str, int] = {}
        for queue, limit in requests:
            limits[queue] = limits.get(queue, 0) + max(limit, 0)
        if not limits:
            return []
        now = self._clock.wall_ms()
        heads, found = await self._take(limits, now, boot_id, lease_ms)
        for jobs in found.values():
            jobs.sort(key=_PLACE)
        short = self._remember(limits, found, heads)
        if short:
            await self._take_stragglers(short, found, now, boot_id, lease_ms)
        return [self._reply(request, found[request.queue], heads[request.queue]) for request in requests]

    async def warm(self, boot_id: bytes) -> None:
        """Have the statement planned on its connection."""
        await self._ask({}, self._clock.wall_ms(), boot_id, 0, passes_due=False)

    async def _take(self, limits: dict[str, int], now: int, boot_id: bytes, lease_ms: int) -> _ByQueue:
        due = [queue for queue in limits if self._is_due(self._lines.get(queue), now)]
        if not due:
            heads, found = await self._ask(limits, now, boot_id, lease_ms, passes_due=False)
            due = [queue for queue, row in heads.items() if _is_past(row[NEXT_RUN_AT], now) and not row[IS_PAUSED]]
            if not due:
                return heads, found
        for queue in due:
            [[promoted]] = await self._lane.fetch("jobs/promote", queue, now, self._most(limits[queue]))
            line = self._lines.setdefault(queue, _Line())
            line.next_run_at = None
            if promoted:
                line.floors = [_START] * 4
        return await self._ask(limits, now, boot_id, lease_ms, passes_due=True)

    async def _ask(
        self, limits: dict[str, int], now: int, boot_id: bytes, lease_ms: int, *, passes_due: bool
    ) -> _ByQueue:
        floors = [self._lines.setdefault(queue, _Line()).floors for queue in limits]
        rows = await self._lane.fetch(
            "jobs/claim",
            list(limits),
            list(limits.values()),
            *([line[priority] for line in floors] for priority in range(4)),
            passes_due,
            now,
            boot_id,
            lease_ms,
        )
        heads = {rows[0][QUEUE]: rows[0]} if len(limits) == 1 else {row[QUEUE]: row for row in rows}
        found: dict[str, list[Row]] = {queue: [] for queue in limits}
        for queue, head in heads.items():
            if head[JOB_ID] is not None:
                found[queue] = rows if len(limits) == 1 else [row for row in rows if row[QUEUE] == queue]
        return heads, found

    def _remember(self, limits: dict[str, int], found: dict[str, list[Row]], heads: dict[str, Row]) -> dict[str, int]:
        """Note where the next claim starts; gives what is missing of batches that started late."""
        short: dict[str, int] = {}
        monotonic = self._monotonic.monotonic()
        for queue, limit in limits.items():
            line, jobs = self._lines[queue], found[queue]
            line.next_run_at = heads[queue][NEXT_RUN_AT]
            if len(jobs) < limit:
                if any(floor != _START for floor in line.floors):
                    short[queue] = limit - len(jobs)
                line.floors = [_START] * 4
                line.from_start_at = monotonic
            elif len(jobs) < _UNDER_LOAD or monotonic - line.from_start_at >= _FROM_START_S:
                line.floors = [_START] * 4
                line.from_start_at = monotonic
            else:
                line.floors = [_START] * 4
                for priority, vtime in _last_of_each(jobs).items():
                    line.floors[priority] = vtime - _SLACK_MS
        return short

    async def _take_stragglers(
        self, short: dict[str, int], found: dict[str, list[Row]], now: int, boot_id: bytes, lease_ms: int
    ) -> None:
        try:
            _, stragglers = await self._ask(short, now, boot_id, lease_ms, passes_due=True)
        except Unavailable:
            return  # what was claimed first is leased, and goes out; the next claim meets the error again
        for queue, jobs in stragglers.items():
            if jobs:
                found[queue] = sorted(found[queue] + jobs, key=_PLACE)

    @staticmethod
    def _most(limit: int) -> int:
        return max(_LEAST_PROMOTED, limit)

    @staticmethod
    def _is_due(line: _Line | None, now: int) -> bool:
        return line is not None and _is_past(line.next_run_at, now)

    @staticmethod
    def _reply(request: ClaimRequest, jobs: list[Row], head: Row) -> ClaimReply:
        """The first `limit` jobs, which are taken off, so that a second request for the queue gets what follows."""
        if head[IS_PAUSED]:
            return ClaimReply([], None, is_paused=True)
        given = jobs[: request.limit] if request.limit > 0 else []
        del jobs[: len(given)]
        return ClaimReply([claimed_of(row) for row in given], head[NEXT_RUN_AT])


def _last_of_each(jobs: list[Row]) -> dict[int, int]:
    """The vtime of the last job of each priority, of jobs in their order."""
    if jobs[0][PRIORITY] == jobs[-1][PRIORITY]:
        return {jobs[-1][PRIORITY]: jobs[-1][VTIME]}
    return {job[PRIORITY]: job[VTIME] for job in jobs}


def _is_past(run_at: int | None, now: int) -> bool:
    return run_at is not None and run_at <= now
