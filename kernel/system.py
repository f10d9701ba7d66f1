"""What all actors of one tree share: made by the root supervisor, closed with it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .clock import Clock
from .deadlines import Deadlines
from .letters import DeadLetters
from .registry import Registry
from .transport.local import LocalTransport

logger = logging.getLogger("callboard.kernel")

EventKind = Literal["crashed", "restarted", "waiting", "parked", "gave_up", "killed", "abandoned", "ended"]


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """Something that happened to a child, for whoever observes a supervisor."""

    kind: EventKind
    path: str
    text: str  # one line for people
    error: BaseException | None = None  # what was raised, where something was
    delay_s: float | None = None  # of "waiting" and "parked": until the next start


Observer = Callable[[ChildEvent], None]

_LEVELS: dict[EventKind, int] = {
    "crashed": logging.WARNING,
    "restarted": logging.INFO,
    "waiting": logging.INFO,
    "parked": logging.ERROR,
    "gave_up": logging.ERROR,
    "killed": logging.WARNING,
    "abandoned": logging.ERROR,
    "ended": logging.INFO,
}


def log_event(event: ChildEvent) -> None:
    """The observer where none is given: one line in the log `callboard.kernel`, a crash with its traceback."""
    error = event.error if event.kind == "crashed" else None
    logger.log(_LEVELS[event.kind], "%s %s: %s", event.path or "(root)", event.kind, event.text, exc_info=error)


class System:
    """Clock, randomness, names, deadlines, dead letters and observer of one tree."""

    def __init__(self, clock: Clock, rng: random.Random, observer: Observer | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.now = clock.monotonic_reader()
        self.rng = rng
        self.letters = DeadLetters()
        self.deadlines = Deadlines(clock)
        self.registry = Registry()
        self.transport = LocalTransport(self.registry, self.letters)
        self._observer = observer or log_event

    def note(self, event: ChildEvent) -> None:
        """Tell the observer. One that raises is reported and otherwise ignored: it must not end a supervisor."""
        try:
            self._observer(event)
        except Exception:
            logger.exception("the observer raised at %s %s", event.path, event.kind)

    def close(self) -> None:
        """Nothing of the tree runs any more."""
        self.deadlines.close()
