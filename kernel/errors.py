"""What Callboard raises. Every room adds its branch below `CallboardError`.

CallboardError
|- MailboxFull                  never handled: no room before the deadline
|- ActorStopped                 never handled: the actor is gone for good, or never was
|- AskTimeout                   no answer in time; `outcome` says whether it may have been handled
|- AskCycle                     the actor asked already waits, further up, for this very answer
|- ActorCrashed                 the handler raised; the cause is `__cause__`
|- RemoteError                  what went wrong on another node, in words: a refusal, or the cause of a crash
|- LinkUnavailable              the link between nodes does not answer: back off and try again
|- LinkRefused                  the link cannot be used as it is: its server, its password, its version
|- IncarnationOver              an endpoint of the link is served in a later incarnation
`- RestartIntensityExceeded     a supervisor gave up; the last crash is `__cause__`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

_LONGEST_TEXT = 300

Outcome = Literal["not_delivered", "unknown"]


class CallboardError(Exception):
    """Root of everything that Callboard raises on purpose."""


class MailboxFull(CallboardError):
    """The message was never handled: its mailbox had no room before the deadline passed."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(path, capacity)
        self.path = path
        self.capacity = capacity

    def __str__(self) -> str:
        return f"mailbox of {self.path!r} stayed full ({self.capacity} messages): send slower, or give it more room"


class ActorStopped(CallboardError):
    """The message was never handled: no actor takes messages at this path (any more)."""

    def __init__(self, path: str, reason: str = "it has stopped") -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"no actor takes messages at {self.path!r}: {self.reason}"


class AskTimeout(CallboardError):
    """No answer before the deadline.

    `outcome` is "not_delivered" when the actor never began with the message (and never will), "unknown" when it had
    begun: it may have been handled, or may still be.
    """

    def __init__(self, path: str, timeout_s: float, outcome: Outcome) -> None:
        super().__init__(path, timeout_s, outcome)
        self.path = path
        self.timeout_s = timeout_s
        self.outcome: Outcome = outcome

    def __str__(self) -> str:
        what = "was still waiting in its mailbox" if self.outcome == "not_delivered" else "may have been handled"
        return f"no answer from {self.path!r} within {self.timeout_s:g} s: the message {what}"


class AskCycle(CallboardError):
    """Raised at once where an ask would wait for itself: `chain` is who waits for whom, the asked one last."""

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__(tuple(chain))
        self.chain = tuple(chain)

    def __str__(self) -> str:
        return f"ask cycle {' -> '.join(self.chain)}: use tell, or let the first one ask"


class ActorCrashed(CallboardError):
    """The actor ended while it had this message in hand; what it raised, if anything, is `__cause__`."""

    def __init__(self, path: str, cause: BaseException | None = None) -> None:
        super().__init__(path, cause)
        self.path = path
        self.__cause__ = cause

    def __str__(self) -> str:
        if self.__cause__ is None:
            return f"{self.path!r} was ended while it handled the message"
        return f"{self.path!r} crashed: {describe(self.__cause__)}"


class RemoteError(CallboardError):
    """What went wrong on another node, in its words; the exception itself stayed there."""


class LinkUnavailable(CallboardError):
    """The server of the link between nodes does not answer. It may pass by itself."""


class LinkRefused(CallboardError, ValueError):
    """The server of the link between nodes cannot be used as it is; the text says why and what to do."""


class IncarnationOver(CallboardError):
    """An endpoint is served in a later incarnation: whoever serves it in this one stops, and nothing more is taken."""

    def __init__(self, endpoint: str, incarnation: int) -> None:
        super().__init__(endpoint, incarnation)
        self.endpoint = endpoint
        self.incarnation = incarnation

    def __str__(self) -> str:
        return f"endpoint {self.endpoint!r} is served in a later incarnation than {self.incarnation}"


class RestartIntensityExceeded(CallboardError):
    """A supervisor gave up: one more restart than `max_restarts` within `within_s` seconds."""

    def __init__(self, path: str, max_restarts: int, within_s: float, cause: BaseException | None = None) -> None:
        super().__init__(path, max_restarts, within_s)
        self.path = path
        self.max_restarts = max_restarts
        self.within_s = within_s
        self.__cause__ = cause

    def __str__(self) -> str:
        last = "" if self.__cause__ is None else f"; last crash: {describe(self.__cause__)}"
        who = repr(self.path) if self.path else "the outermost supervisor"
        return f"{who} needed more than {self.max_restarts} restarts in {self.within_s:g} s{last}"


def describe(error: BaseException) -> str:
    """The error in one line of at most some 300 characters, also where its `__str__` raises."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its text cannot be shown)"
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
