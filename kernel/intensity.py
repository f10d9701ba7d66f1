"""How often, and how soon, children are restarted. Pure."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before each restart: `initial`, then `factor` times the last one, at most `cap` seconds.

    Each pause is drawn between half of that and all of it, so that children which fell together do not rise together.
    It begins anew once the child has been up for as long as its last pause, and for the supervisor's `within` at least.
    """

    initial: float = 1.0  # seconds
    factor: float = 2.0
    cap: float = 60.0  # seconds

    def __post_init__(self) -> None:
        if not (self.initial > 0 and self.factor >= 1 and self.cap >= self.initial):
            raise ValueError(f"expected initial > 0, factor >= 1 and cap >= initial, found {self}")

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """The pause after the `failures`-th failure in a row (1 is the first)."""
        try:
            full = min(self.cap, self.initial * self.factor ** (failures - 1))
        except OverflowError:
            full = self.cap
        return full * rng.uniform(0.5, 1.0)


class Intensity:
    """Counts restarts in a sliding window; without `max_restarts` they are never too many."""

    __slots__ = ("_max_restarts", "_times", "_within_s")

    def __init__(self, max_restarts: int | None, within_s: float) -> None:
        self._max_restarts = max_restarts
        self._within_s = within_s
        self._times: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Count a restart at `now`; True when the last `within_s` seconds had more than `max_restarts`."""
        if self._max_restarts is None:
            return False
        self._times.append(now)
        while self._times[0] < now - self._within_s:
            self._times.popleft()
        return len(self._times) > self._max_restarts
