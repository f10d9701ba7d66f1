"""The seam between a ref and the place its actor lives at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
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


class Link(Protocol):
    """The way to actors on other nodes, by the names of endpoints that one node serves at a time."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises what the link raises when nobody answers; then nothing is left open."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. Idempotent."""

    @abstractmethod
    def inbox(self, endpoint: str, path: str = "") -> Inbox:
        """Where messages to `path` below an endpoint go in, whoever serves it. Messages wait while nobody does."""

    @abstractmethod
    async def serve(
        self,
        endpoint: str,
        inbox_of: Callable[[str], Inbox],
        *,
        incarnation: int,
        overtaken: Callable[[], object] | None = None,
    ) -> None:
        """From now on hand what comes for the endpoint to the inboxes here; raises for an incarnation that is over.

        `overtaken` is called once a later incarnation serves it: nothing comes here any more.
        """

    @abstractmethod
    async def leave(self, endpoint: str) -> None:
        """Serve the endpoint no more. Idempotent."""

    @property
    @abstractmethod
    def counters(self) -> Mapping[str, int]:
        """What went wrong and was borne, by name, since it was opened."""
