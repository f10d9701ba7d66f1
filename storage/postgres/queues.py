"""The port of queues on PostgreSQL."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Mapping, Sequence

from ..job import JobState
from ..ports.queues import QueueStore
from ..records import QueueRow
from .lanes import Lanes
from .rows import STATES


class PostgresQueues(QueueStore):
    """Queues in a database."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def counts(self, queue: str | None = None) -> Mapping[JobState, int]:
        counts = dict.fromkeys(STATES, 0)
        for code, count in await self._lanes.reads.fetch("queues/counts", queue):
            counts[STATES[code]] = count
        return counts

    async def list(self) -> list_of[QueueRow]:
        switches: dict[str, tuple[bool, int | None]] = {}
        counts: dict[str, dict[JobState, int]] = {}
        for name, is_paused, code, count, oldest in await self._lanes.reads.fetch("queues/list"):
            switches[name] = is_paused, oldest
            by_state = counts.setdefault(name, dict.fromkeys(STATES, 0))
            if code is not None:
                by_state[STATES[code]] = count
        return [
            QueueRow(name, is_paused, counts[name], oldest_run_at)
            for name, (is_paused, oldest_run_at) in switches.items()
        ]

    async def pause(self, queues: Sequence[str]) -> None:
        await self._lanes.work.fetch("queues/pause", list_of(queues))

    async def resume(self, queues: Sequence[str]) -> None:
        await self._lanes.work.fetch("queues/resume", sorted(queues))
