"""The verb `claim`, and the promotion that goes before it. Where in line a claim starts: `lines.py`."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from ...kernel.clock import Clock
from ..errors import Unavailable
from ..records import ClaimReply, ClaimRequest
from .lane import Lane
from .lines import Lines
from .rows import IS_PAUSED, JOB_ID, NEXT_RUN_AT, PRIORITY, QUEUE, VTIME, Row, claimed_of

_LEAST_PROMOTED = 100
_PLACE = itemgetter(PRIORITY, VTIME, JOB_ID)


_ByQueue = tuple[dict[str, Row], dict[str, list[Row]]]  # a row of each queue, and those rows of it that hold a job


class Claims:
    """Claims of one handle."""

    def __init__(self, lane: Lane, looks: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock
        self._lines = Lines(looks)

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
        for queue, head in heads.items():
            self._lines.due_at(queue, head[NEXT_RUN_AT])
        short = {
            queue: limit - len(found[queue])
            for queue, limit in limits.items()
            if self._lines.claimed(queue, limit, found[queue])
        }
        if short:
            await self._take_stragglers(short, found, now, boot_id, lease_ms)
        return [self._reply(request, found[request.queue], heads[request.queue]) for request in requests]

    async def warm(self, boot_id: bytes) -> None:
        """Have the statement planned on its connection."""
        await self._ask({}, self._clock.wall_ms(), boot_id, 0, passes_due=False)

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._lines.close()

    async def _take(self, limits: dict[str, int], now: int, boot_id: bytes, lease_ms: int) -> _ByQueue:
        due = [queue for queue in limits if _is_past(self._lines.next_run_at(queue), now)]
        if not due:
            heads, found = await self._ask(limits, now, boot_id, lease_ms, passes_due=False)
            due = [queue for queue, row in heads.items() if _is_past(row[NEXT_RUN_AT], now) and not row[IS_PAUSED]]
            if not due:
                return heads, found
        for queue in due:
            [[promoted]] = await self._lane.fetch("jobs/promote", queue, now, self._most(limits[queue]))
            self._lines.due_at(queue, None)
            if promoted:
                self._lines.start_at_head(queue)
        return await self._ask(limits, now, boot_id, lease_ms, passes_due=True)

    async def _ask(
        self, limits: dict[str, int], now: int, boot_id: bytes, lease_ms: int, *, passes_due: bool
    ) -> _ByQueue:
        starts = [self._lines.start(queue) for queue in limits]
        rows = await self._lane.fetch(
            "jobs/claim",
            list(limits),
            list(limits.values()),
            *([start[priority] for start in starts] for priority in range(4)),
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
    def _reply(request: ClaimRequest, jobs: list[Row], head: Row) -> ClaimReply:
        """The first `limit` jobs, which are taken off, so that a second request for the queue gets what follows."""
        if head[IS_PAUSED]:
            return ClaimReply([], None, is_paused=True)
        given = jobs[: request.limit] if request.limit > 0 else []
        del jobs[: len(given)]
        return ClaimReply([claimed_of(row) for row in given], head[NEXT_RUN_AT])


def _is_past(run_at: int | None, now: int) -> bool:
    return run_at is not None and run_at <= now
