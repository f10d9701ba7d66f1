"""How an attempt can end, and what a handler may answer instead of a value. All frozen; nothing here acts.

A handler's answers are public: `Snooze`, `Cancel`, `Discard`, `RetryAfter`. What an attempt came to, once judged, is an
`Outcome`: `Completed`, `EndedInTransaction`, `Retrying`, `Snoozed`, `Cancelled`, `Failed`, `Discarded`, `HandedBack`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ..kernel.durations import Duration, seconds
from ..kernel.errors import CallboardError
from ..storage.records import ErrorRecord
from .failures import capped

MAX_REASON_BYTES = 8 * 1024


class JobTimeout(CallboardError, TimeoutError):
    """An attempt ran longer than its timeout. Judged like any exception: retried unless the policy says no."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"the attempt ran longer than its timeout of {self.timeout_s:g} s"


class InvalidReason(CallboardError, TypeError):
    """A reason that is no text."""


# What a handler may return


@final
@dataclass(frozen=True, slots=True, init=False)
class Snooze:
    """Returned by a handler: run this job again later, as if this attempt had not been.

    No attempt is counted and no error recorded. `seconds` is a duration: seconds, a timedelta, or "30s", "5m", "1h",
    "1d"; raises `InvalidDuration` (a ValueError) for anything else.
    """

    seconds: float

    def __init__(self, seconds: Duration) -> None:
        _set_seconds(self, seconds, "Snooze")


@final
@dataclass(frozen=True, slots=True, init=False)
class RetryAfter:
    """Returned by a handler: this attempt failed; try again after `seconds`, whatever the policy's back-off says.

    The attempt is counted: when it was the last, the job ends failed. `seconds` is a duration, as in `Snooze`.
    """

    seconds: float

    def __init__(self, seconds: Duration) -> None:
        _set_seconds(self, seconds, "RetryAfter")


@final
@dataclass(frozen=True, slots=True)
class Cancel:
    """Returned by a handler: end this job as cancelled. Whoever awaits its result gets `JobCancelled` with `reason`.

    Raises `InvalidReason` (a TypeError) for a reason that is no text; of a long one the middle is left out.
    """

    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", storable_reason(self.reason, "Cancel"))


@final
@dataclass(frozen=True, slots=True)
class Discard:
    """Returned by a handler: drop this job, there is nothing to do. Whoever awaits its result gets `JobDiscarded`.

    `reason` as in `Cancel`.
    """

    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", storable_reason(self.reason, "Discard"))


def _set_seconds(answer: Snooze | RetryAfter, value: Duration, what: str) -> None:
    object.__setattr__(answer, "seconds", seconds(value, what))


def storable_reason(reason: object, what: str) -> str:
    """`reason` as text that every store takes. Raises `InvalidReason` for one that is no text."""
    if not isinstance(reason, str):
        raise InvalidReason(f"{what} reason: expected text; found {type(reason).__name__}")
    return capped(reason, MAX_REASON_BYTES)


# What an attempt came to


@final
@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned a value."""

    result: bytes  # encoded


DONE = Completed(b"\xc0")  # the handler returned None; one object for all of them


@final
@dataclass(frozen=True, slots=True)
class EndedInTransaction:
    """The handler wrote the end itself, by `Ctx.complete`, and committed it."""


@final
@dataclass(frozen=True, slots=True)
class Retrying:
    """The attempt failed and another follows."""

    delay_s: float
    error: ErrorRecord


@final
@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asked to run later; the attempt is restored."""

    delay_s: float


@final
@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler ended the job as cancelled, or somebody asked for it and the handler gave way."""

    reason: str


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed and none follows."""

    reason: str  # one of the FAILED_ constants below
    error: ErrorRecord


@final
@dataclass(frozen=True, slots=True)
class Discarded:
    """The handler dropped the job."""

    reason: str


@final
@dataclass(frozen=True, slots=True)
class HandedBack:
    """The attempt is undone: the node drains, or does not know the handler. The job waits again, unharmed."""

    delay_s: float = 0.0


Outcome = Completed | EndedInTransaction | Retrying | Snoozed | Cancelled | Failed | Discarded | HandedBack

FAILED_ATTEMPTS = "attempts"  # the last attempt failed
FAILED_BUDGET = "budget"  # the next attempt would have come later than the policy's budget allows
FAILED_TERMINAL = "terminal"  # an error that the policy does not retry
FAILED_UNDECODABLE = "undecodable"  # the stored arguments cannot be read, or do not fit the handler
FAILED_RESULT_TOO_LARGE = "result_too_large"
FAILED_RESULT_NOT_STORABLE = "result_not_storable"
