"""Dead letters: messages that no actor will handle. Counted all, kept the last ones, for people to look at."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 1_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that no actor will handle."""

    path: str  # the actor it was for
    message: object
    reason: str  # why it was not handled


class DeadLetters:
    """The node's dead letters."""

    def __init__(self) -> None:
        self.count = 0  # all of them, since the start
        self.recent: deque[DeadLetter] = deque(maxlen=KEPT)
        self.quarantined: deque[DeadLetter] = deque(maxlen=KEPT)  # taken from actors with in_flight="quarantine"

    def add(self, path: str, message: object, reason: str) -> None:
        """Count a message and keep it among the recent ones."""
        self.count += 1
        self.recent.append(DeadLetter(path, message, reason))

    def quarantine(self, path: str, message: object, reason: str) -> None:
        """Count a message at which its actor crashed, and keep it apart from the others."""
        self.count += 1
        self.quarantined.append(DeadLetter(path, message, reason))
