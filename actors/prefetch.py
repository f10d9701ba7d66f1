"""How many leased jobs a worker may hold beyond its slots."""

from __future__ import annotations

from ..kernel.clock import Clock

WINDOW_S = 0.05
MOST = 1000


class Prefetch:
    """Counts what was finished in the last window: nothing when handlers are slow, `MOST` when they are trivial."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_began = clock.monotonic()
        self._now = 0
        self._before = 0

    def finished(self, jobs: int) -> None:
        """Count finished jobs."""
        self._roll()
        self._now += jobs

    def allowance(self) -> int:
        """Jobs that may be held beyond the slots now."""
        self._roll()
        return min(max(self._now, self._before), MOST)

    def _roll(self) -> None:
        now = self._clock.monotonic()
        windows = int((now - self._window_began) / WINDOW_S)
        if windows:
            self._before = self._now if windows == 1 else 0
            self._now = 0
            self._window_began += windows * WINDOW_S
