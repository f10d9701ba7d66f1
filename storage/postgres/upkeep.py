"""What busy tables need every second: counters folded, dead entries vacuumed. Autovacuum looks once a minute.

Every handle that works does it, on a connection of its own; two at once take different rows and tables. An idle handle
does nothing.
"""

from __future__ import annotations

import asyncio

from ...kernel.clock import SystemClock
from ..errors import StorageError
from .lane import Connection, Lane

_EVERY_S = (1.0, 10.0)  # at least, at most
_WORKING = (
    0.05  # of the time, at most, goes into it: where an old snapshot is held open, it takes long and clears little
)
_VACUUM_S = 600.0  # a table that was left alone for long takes its time
_MOVED = 2_000  # jobs moved since the last time, below which nothing needs to be done


class Upkeep:
    """Looks after the tables of one store, as long as this handle moves jobs."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._clock = SystemClock()
        self._moved = 0
        self._next_at = self._clock.monotonic() + _EVERY_S[0]
        self._running: asyncio.Task[None] | None = None

    def note(self, jobs: int) -> None:
        """So many jobs moved from table to table."""
        self._moved += jobs
        if self._moved < _MOVED or self._running is not None:
            return
        if self._clock.monotonic() < self._next_at:
            return
        self._running = asyncio.get_running_loop().create_task(self._once(), name="callboard-postgres-upkeep")

    async def fold(self) -> None:
        """Add up what transitions appended to the counters. Raises `StorageError`."""
        await self._lane.fetch("upkeep/fold")

    async def vacuum(self) -> None:
        """Clear the busy tables of dead entries. Raises `StorageError`."""
        text = self._lane.server.text("upkeep/vacuum")

        async def vacuum(connection: Connection) -> None:
            await connection.execute(text, timeout=_VACUUM_S)

        await self._lane.run(vacuum)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _once(self) -> None:
        began = self._clock.monotonic()
        try:
            await self.fold()
            await self.vacuum()
        except StorageError:
            pass  # whoever works meets the same error, and can say so better
        finally:
            self._moved = 0
            now = self._clock.monotonic()
            self._next_at = now + min(max(_EVERY_S[0], (now - began) / _WORKING), _EVERY_S[1])
            self._running = None
