"""Messages to oneself, later."""

from __future__ import annotations

from .clock import Timer
from .incarnation import Incarnation


class Delayed(Timer):
    """One message on its way; it goes with the incarnation that sent it."""

    __slots__ = ("_incarnation", "_message", "_timer")

    def __init__(self, incarnation: Incarnation, delay_s: float, message: object) -> None:
        self._incarnation = incarnation
        self._message = message
        self._timer = incarnation.child.system.clock.call_later(delay_s, self._deliver)
        if incarnation.timers is None:
            incarnation.timers = {}
        incarnation.timers[self] = None

    def cancel(self) -> None:
        """Take the message back; no effect once it is in the mailbox."""
        self._timer.cancel()
        if self._incarnation.timers is not None:
            self._incarnation.timers.pop(self, None)

    def _deliver(self) -> None:
        if self._incarnation.timers is not None:
            self._incarnation.timers.pop(self, None)
        self._incarnation.child.mailbox.push(self._message)
