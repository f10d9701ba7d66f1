"""One list of deadlines for a whole node, looked through every 50 ms: no timer and no cancel scope per ask."""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import Protocol

from .clock import Clock, Timer

SWEEP_S = 0.05


class Expiring(Protocol):
    """Something that waits until a deadline."""

    deadline: float

    @abstractmethod
    def expire(self) -> None:
        """Called once, at most `SWEEP_S` after the deadline."""


class Deadlines:
    """Expires what is still listed when its deadline passes, in the order in which it was added."""

    __slots__ = ("_clock", "_earliest", "_timer", "waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timer: Timer | None = None
        self._earliest = inf  # no listed deadline is before it
        self.waiting: dict[Expiring, None] = {}  # a dict and no set: simulations need its order

    def add(self, item: Expiring) -> None:
        """List `item`; whoever gets what it waited for takes it out of `waiting` again."""
        self.waiting[item] = None
        if item.deadline < self._earliest:
            self._earliest = item.deadline
        if self._timer is None:
            self._timer = self._clock.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Stop looking; what is listed expires no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.waiting.clear()

    def _sweep(self) -> None:
        # Without anything listed the timer is not set again: an idle node does not wake up.
        self._timer = None
        now = self._clock.monotonic()
        if self._earliest <= now:
            for item in [item for item in self.waiting if item.deadline <= now]:
                self.waiting.pop(item, None)
                item.expire()
            self._earliest = min((item.deadline for item in self.waiting), default=inf)
        if self.waiting:
            self._timer = self._clock.call_later(SWEEP_S, self._sweep)
