"""Wake-ups between the handles of one memory store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from ..ports.wakeups import WakeupStore
from ..records import Wakeup
from .board import Board

OnWakeups = Callable[[Collection[Wakeup]], None]


class MemoryWakeups(WakeupStore):
    """Posts what is announced to the loop of each other handle that listens."""

    joins_inserts = False

    def __init__(self, board: Board) -> None:
        self._board = board
        self._on_wakeups: OnWakeups | None = None

    async def listen(self, on_wakeups: OnWakeups) -> None:
        self._on_wakeups = on_wakeups
        with self._board.lock:
            self._board.listeners[self._deliver] = asyncio.get_running_loop()

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        with self._board.lock:
            others = [item for item in self._board.listeners.items() if item[0] != self._deliver]
        for deliver, loop in others:
            if loop is asyncio.get_running_loop():
                loop.call_soon(deliver, wakeups)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(deliver, wakeups)

    def take_along(self, wakeups: Collection[Wakeup]) -> None:
        """Nothing: see `joins_inserts`."""

    async def close(self) -> None:
        self._on_wakeups = None
        with self._board.lock:
            self._board.listeners.pop(self._deliver, None)

    def _deliver(self, wakeups: Collection[Wakeup]) -> None:
        if self._on_wakeups is not None:  # still listening when its turn comes
            self._on_wakeups(wakeups)
