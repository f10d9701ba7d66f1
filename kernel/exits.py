"""Why an actor ended, and how its watchers hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import describe

if TYPE_CHECKING:
    from .ref import Ref


@dataclass(frozen=True, slots=True)
class Normal:
    """It was done: it called `context.stop()`."""

    def __str__(self) -> str:
        return "normal"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Its supervisor told it to stop, and it did in time."""

    def __str__(self) -> str:
        return "shutdown"


@dataclass(frozen=True, slots=True)
class Killed:
    """It was cancelled, its time to stop being over."""

    abandoned: bool = False  # it swallowed the cancellation too, and was left behind

    def __str__(self) -> str:
        return "killed, abandoned" if self.abandoned else "killed"


@dataclass(frozen=True, slots=True)
class Crashed:
    """It raised."""

    error: BaseException  # the plain cause, never a group of one

    def __str__(self) -> str:
        return f"crashed: {describe(self.error)}"


Exit = Normal | Shutdown | Killed | Crashed


@dataclass(frozen=True, slots=True)
class Down:
    """What a watcher receives each time an incarnation of the watched actor ends."""

    ref: Ref  # whom
    exit: Exit  # why
    final: bool  # True: no incarnation follows, and this is the last of these messages


def crashed(error: BaseException) -> Crashed:
    """The exit for what was raised; groups of one (from task groups in a handler) are unwrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return Crashed(error)
