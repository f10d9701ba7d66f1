"""The seam between a ref and the place its actor lives at."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class Inbox(Protocol):
    """Where the messages for one actor go in."""

    __slots__ = ()

    closed: bool  # True: nothing is taken any more, and never will be

    @abstractmethod
    def offer(self, message: object) -> bool:
        """Take the message if there is room now; False (and no trace) otherwise."""

    @abstractmethod
    async def tell(self, message: object, timeout_s: float | None) -> None:
        """Take the message as soon as there is room, senders in their order.

        Raises `MailboxFull` once `timeout_s` seconds have passed without room, `ActorStopped` when closed.
        """

    @abstractmethod
    async def ask(self, message: object, timeout_s: float | None) -> object:
        """The answer to the message. Raises what `Ref.ask` says."""


class Transport(Protocol):
    """Finds inboxes by path."""

    @abstractmethod
    def inbox(self, path: str) -> Inbox:
        """The inbox of the actor at `path`; a closed one, whose sends raise `ActorStopped`, while there is none."""

    @abstractmethod
    def undeliverable(self, path: str, message: object) -> None:
        """Note a message that was for an actor which is gone."""
