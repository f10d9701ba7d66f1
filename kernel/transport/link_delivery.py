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


class Delivery(Ask):
    """A message from another node on its way through a mailbox: the slot that hears when it was handled."""

    __slots__ = ("asked", "entry", "is_done", "number", "receiver")

    def __init__(self, receiver: Receiver, entry: Entry, number: int) -> None:
        self.receiver = receiver
        self.entry = entry
        self.number = number
        self.asked: int | None = None  # the asker's own number; None for a tell
        self.path = ""
        self.chain = ()
        self.timeout_s = 0.0
        self.deadline = inf
        self.begun = False
        self.is_done = False
        self.future = _NEVER_DONE  # type: ignore[assignment]  # nobody awaits it; actors ask it whether it is done

    @property
    def origin(self) -> tuple[str, int]:  # type: ignore[override]
        """See `Context.origin`."""
        return self.entry.sender_name.decode("utf-8", "replace"), self.number

    def answer(self, answer: object) -> None:
        """The handler has returned, or its actor crashed; or it refuses, being stopped: then the next holder has it."""
        if self.is_done:
            return
        if not self.begun and isinstance(answer, Failure) and isinstance(answer.error, ActorStopped):
            return
        if self.asked is not None:
            self.receiver.respond(self, answer)
        self.is_handled()

    def expire(self) -> None:
        """Nobody waits for it any more."""
        if not self.is_done:
            self.receiver.late += 1
            self.is_handled()

    def is_handled(self) -> None:
        """It is done with, and never comes again."""
        self.is_done = True
        self.receiver.handled(self)


class Sender:
    """What this node knows of one that sends to the endpoint."""

    __slots__ = ("in_hand", "seen")

    def __init__(self) -> None:
        self.seen = 0  # the number up to which messages were handed in, here or before
        self.in_hand: deque[Delivery] = deque()  # handed in and not all handled, in order


class Entry:
    """An entry of the stream, some of whose messages were not handled yet."""

    __slots__ = ("id", "left", "sender", "sender_name")

    def __init__(self, id: bytes, sender_name: bytes, sender: Sender) -> None:
        self.id = id
        self.sender_name = sender_name
        self.sender = sender
        self.left = 0


class _NeverDone:
    """Stands for a future that nobody gave up."""

    __slots__ = ()

    def done(self) -> bool:
        return False


_NEVER_DONE = _NeverDone()
