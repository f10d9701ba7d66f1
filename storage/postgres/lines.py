"""Where in a queue's line a claim starts.

Claimed rows leave dead entries at the head of the line until they are vacuumed, and whoever starts at the head walks
over them; an old snapshot held open anywhere keeps them all. So under load a claim starts where the last one of this
handle ended, less `_SLACK_MS` for jobs whose insert was committed late. What came to stand further behind (handed back,
say) is looked for beside the claims, on another connection: once a second, or less often where looking takes long. A
claim that came back short has seen the end of the line, and the next one starts at the head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...kernel.clock import SystemClock
from ..errors import StorageError
from .lane import Connection, Lane
from .rows import PRIORITY, VTIME, Row

HEAD = -(2**63)
_UNDER_LOAD = 64  # jobs in a full batch from which on a line counts as long
_SLACK_MS = 100
_LOOK_S = (1.0, 10.0)  # between two looks: at least, at most
_LOOKING = 0.02  # of the time, at most, goes into them


@dataclass(slots=True)
class _Line:
    floors: list[int] = field(default_factory=lambda: [HEAD] * 4)  # vtime to start from, by priority
    behind: dict[int, int] = field(default_factory=dict)  # priority -> vtime of a job that a look found
    look_at: float = 0.0  # monotonic seconds
    looking: asyncio.Task[None] | None = None
    next_run_at: int | None = None


class Lines:
    """What a handle remembers of its queues."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._clock = SystemClock()
        self._lines: dict[str, _Line] = {}

    def start(self, queue: str) -> list[int]:
        """The vtime to start from, by priority."""
        line = self._of(queue)
        behind, line.behind = line.behind, {}
        return [min(floor, behind.get(priority, floor)) for priority, floor in enumerate(line.floors)]

    def start_at_head(self, queue: str) -> None:
        """Jobs came to stand anywhere."""
        self._of(queue).floors = [HEAD] * 4

    def claimed(self, queue: str, limit: int, jobs: Sequence[Row]) -> bool:
        """Note a claim, its jobs in order. Whether it missed some: it came back short, and had not started at the head.

        The next one starts at the head then.
        """
        line = self._of(queue)
        was_late = line.floors != [HEAD] * 4
        if len(jobs) < limit or len(jobs) < _UNDER_LOAD:
            line.floors = [HEAD] * 4
            return was_late and len(jobs) < limit
        now = self._clock.monotonic()
        if not was_late:
            line.look_at = now + _LOOK_S[0]  # it has just looked
        for priority, vtime in _last_of_each(jobs).items():
            line.floors[priority] = vtime - _SLACK_MS
        if line.looking is None and now >= line.look_at:
            line.looking = asyncio.get_running_loop().create_task(
                self._look(queue, line), name="callboard-postgres-look"
            )
        return False

    def next_run_at(self, queue: str) -> int | None:
        """When the first job of the queue becomes due, as it was last seen; None when it is not known."""
        return self._of(queue).next_run_at

    def due_at(self, queue: str, run_at: int | None) -> None:
        """Remember it."""
        self._of(queue).next_run_at = run_at

    async def close(self) -> None:
        """Wait for what is under way."""
        looking = [line.looking for line in self._lines.values() if line.looking is not None]
        if looking:
            await asyncio.wait(looking)

    def _of(self, queue: str) -> _Line:
        return self._lines.setdefault(queue, _Line())

    async def _look(self, queue: str, line: _Line) -> None:
        text, floors, took_s = self._lane.server.text("jobs/behind"), list(line.floors), 0.0

        async def look(connection: Connection) -> list[Row]:
            nonlocal took_s
            began = self._clock.monotonic()
            rows = await connection.fetch(text, queue, *floors)
            took_s = self._clock.monotonic() - began
            return rows

        try:
            line.behind = dict(await self._lane.run(look))
        except StorageError:
            pass  # the next claim meets the same error, and can say so better
        finally:
            line.look_at = self._clock.monotonic() + look_in(took_s)
            line.looking = None


def look_in(took_s: float) -> float:
    """Seconds until the next look, after one that took so long."""
    least, most = _LOOK_S
    return min(max(least, took_s / _LOOKING), most)


def _last_of_each(jobs: Sequence[Row]) -> dict[int, int]:
    """The vtime of the last job of each priority, of jobs in their order."""
    if jobs[0][PRIORITY] == jobs[-1][PRIORITY]:
        return {jobs[-1][PRIORITY]: jobs[-1][VTIME]}
    return {job[PRIORITY]: job[VTIME] for job in jobs}
