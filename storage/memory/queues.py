"""Queues in memory."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Mapping, Sequence

from ..job import JobState
from ..ports.queues import QueueStore
from ..records import QueueRow
from .board import Board, Queue
from .record import STATES


class MemoryQueues(QueueStore):
    """The port of queues over a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def counts(self, queue: str | None = None) -> Mapping[JobState, int]:
        with self._board.lock:
            queues = self._board.queues.values()
            rows = [one.counts for one in queues if queue is None or one.name == queue]
            return {state: sum(row[code] for row in rows) for code, state in enumerate(STATES)}

    async def list(self) -> list_of[QueueRow]:
        with self._board.lock:
            return [_row(queue) for _, queue in sorted(self._board.queues.items())]

    async def pause(self, queues: Sequence[str]) -> None:
        with self._board.lock:
            for name in queues:
                self._board.queue(name).is_paused = True

    async def resume(self, queues: Sequence[str]) -> None:
        with self._board.lock:
            for name in queues:
                if name in self._board.queues:
                    self._board.queues[name].is_paused = False


def _row(queue: Queue) -> QueueRow:
    # An available job's vtime is its run_at, so the oldest stands first in the line of its priority.
    oldest = [run_at for line in queue.ready if (run_at := line.first_key()) is not None]
    return QueueRow(
        name=queue.name,
        is_paused=queue.is_paused,
        counts=dict(zip(STATES, queue.counts, strict=True)),
        oldest_run_at=min(oldest, default=None),
    )
