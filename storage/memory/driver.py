"""The store in memory: jobs live as long as the process. For tests, for simulations and for work that may be lost."""

from __future__ import annotations

from collections.abc import Sequence

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..ports.store import Store
from ..records import Finding
from .board import Board
from .controls import MemoryControls
from .heartbeat import MemoryHeartbeat
from .jobs import MemoryJobs
from .nodes import MemoryNodes
from .queues import MemoryQueues
from .roles import MemoryRoles
from .wakeups import MemoryWakeups


class MemoryStore(Store):
    """One handle on jobs in memory. Its methods may be called from several threads."""

    is_durable = False
    is_shared = False
    transactions = None
    is_embedded = True
    commits_together = True

    def __init__(self, *, clock: Clock) -> None:
        self._use(Board(), clock)

    def another(self, *, clock: Clock | None = None) -> MemoryStore:
        """A second handle on the same jobs, as another node in this process holds it; `clock` is that node's."""
        other = MemoryStore.__new__(MemoryStore)
        other._use(self._board, clock or self._clock)
        return other

    def _use(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self.wall_ms = clock.wall_reader()
        self.jobs = MemoryJobs(board, clock)
        self.queues = MemoryQueues(board)
        self.nodes = MemoryNodes(board, clock)
        self.roles = MemoryRoles(board, clock)
        self.controls = MemoryControls(board)
        self.wakeups = MemoryWakeups(board)

    async def open(self, *, migrate: bool = True) -> None:
        pass

    async def close(self) -> None:
        """Stop listening. The jobs stay for as long as a handle on them is kept, and may be opened again."""
        await self.wakeups.close()

    def heartbeats(self) -> HeartbeatStore:
        return MemoryHeartbeat(self._board, self._clock)

    def next_run_at(self, after: int) -> int | None:
        """When the first job falls due later than `after` (wall milliseconds), leaving paused queues out.

        For tests that move the clock.
        """
        with self._board.lock:
            queues = [queue for queue in self._board.queues.values() if not queue.is_paused]
            moments = [queue.due.first_key() for queue in queues]
        return min((moment for moment in moments if moment is not None and moment > after), default=None)

    async def examine(self) -> Sequence[Finding]:
        with self._board.lock:
            kept = len(self._board.records)
        return [
            Finding("warn", "durability", "jobs are kept in memory and end with the process"),
            Finding("ok", "room", f"{kept} jobs in memory"),
        ]
