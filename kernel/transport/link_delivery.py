"""A message from another node on its way through a mailbox, and what its receiver keeps of senders and entries."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from math import inf
from typing import Protocol

from ..envelope import Ask, Failure
from ..errors import ActorStopped


class Receiver(Protocol):
    """Who handed a message in, and hears what became of it."""

    late: int  # asks that nobody waited for any more

    @abstractmethod
    def respond(self, slot: Delivery, answer: object) -> None:
        """Send an answer back."""

    @abstractmethod
    def handled(self, slot: Delivery) -> None:
        """A message is done with."""

    @abstractmethod
    def returned(self, slot: Delivery) -> None:
        """Its actor was stopped before it began with it."""


class _NeverDone:
    """Stands for a future that nobody gave up."""

    __slots__ = ()

    def done(self) -> bool:
        return False


_NEVER_DONE = _NeverDone()


class Delivery(Ask):
    """A message from another node on its way through a mailbox: the slot that hears when it was handled."""

    __slots__ = ("asked", "body", "entry", "is_done", "message", "number", "receiver", "way")

    # The same for all: no attribute of each. Nobody awaits the future; actors ask it whether it is done.
    future = _NEVER_DONE  # type: ignore[assignment]
    timeout_s = 0.0
    path = ""

    def __init__(self, receiver: Receiver, entry: Entry, number: int, way: str, body: bytes, message: object) -> None:
        self.receiver = receiver
        self.entry = entry
        self.number = number
        self.way = way  # from the endpoint to its actor
        self.body = body
        self.message = message
        self.asked: int | None = None  # the asker's own number; None for a tell
        self.chain: tuple[str, ...] = ()
        self.deadline = inf
        self.begun = False
        self.is_done = False

    @property
    def origin(self) -> tuple[str, int]:  # type: ignore[override]
        """See `Context.origin`."""
        return self.entry.sender_name.decode("utf-8", "replace"), self.number

    def answer(self, answer: object) -> None:
        """The handler has returned, or its actor crashed; or it refuses, being stopped: then another has it."""
        if self.is_done:
            return
        if not self.begun and isinstance(answer, Failure) and isinstance(answer.error, ActorStopped):
            self.receiver.returned(self)
            return
        if self.asked is not None:
            self.receiver.respond(self, answer)
        self.is_done = True
        self.receiver.handled(self)

    def refuse(self, error: Exception) -> None:
        """No actor will have it."""
        self.begun = True
        self.answer(Failure(error))

    def expire(self) -> None:
        """Nobody waits for it any more."""
        if not self.is_done:
            self.receiver.late += 1
            self.is_done = True
            self.receiver.handled(self)


class Sender:
    """What this node knows of one that sends to the endpoint."""

    __slots__ = ("entries", "handled", "seen", "told")

    def __init__(self, seen: int = 0) -> None:
        self.seen = seen  # the number up to which messages were taken in, here or before
        self.handled = seen  # the number up to which all were handled, as of the last look
        self.told = seen  # the number up to which the server was told that they were handled
        self.entries: deque[Entry] = deque()  # taken in and not all handled, in order

    def progress(self) -> int:
        """The number up to which all were handled."""
        number, entries = self.handled, self.entries
        while entries and not entries[0].left:
            number = entries.popleft().last
        if entries:
            first = entries[0]
            slots, at = first.slots, first.done
            while at < len(slots) and slots[at].is_done:
                number = slots[at].number
                at += 1
            first.done = at
        self.handled = number
        return number


class Entry:
    """An entry of the stream, until the server was told that all of its messages were handled."""

    __slots__ = ("done", "id", "last", "left", "sender_name", "slots")

    def __init__(self, id: bytes, sender_name: bytes, last: int) -> None:
        self.id = id
        self.sender_name = sender_name
        self.last = last  # number of its last message
        self.left = 0  # not handled yet
        self.slots: list[Delivery] = []
        self.done = 0  # of the slots, from the first on
