"""Waiting until something is true that others bring about: each says that something changed, who waits looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...kernel.clock import Clock

LOOK_S = 1.0  # at least so often without a bell: an end whose signal was lost, a limit that is over


class Bell:
    """Rung on its event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Let all who wait look again."""
        for rung in self._waiting:
            rung.set()

    async def until(
        self, is_true: Callable[[], bool], *, within_s: float | None = None, look_s: float = LOOK_S
    ) -> bool:
        """True once `is_true` is; False if it is not within that time. `look_s`: for what rings no bell."""
        ends = None if within_s is None else self._clock.monotonic() + within_s
        rung = asyncio.Event()
        self._waiting.add(rung)
        try:
            while not is_true():
                pause_s = look_s if ends is None else min(look_s, ends - self._clock.monotonic())
                if pause_s <= 0:
                    return False
                timer = self._clock.call_later(pause_s, rung.set)
                await rung.wait()
                timer.cancel()
                rung.clear()
        finally:
            self._waiting.discard(rung)
        return True
