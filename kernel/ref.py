"""A ref: where to send to. It stays valid before its actor starts, and across its restarts."""

from __future__ import annotations

from typing import TypeVar, overload

from .envelope import Query
from .transport.port import Inbox, Transport

R = TypeVar("R")


class Ref:
    """Sends to the actor at `path`, from any coroutine on the node's event loop (not from other threads)."""

    __slots__ = ("_inbox", "_offer", "_transport", "path")

    def __init__(self, path: str, transport: Transport) -> None:
        self.path = path
        self._transport = transport
        self._inbox: Inbox = transport.inbox(path)
        self._offer = self._inbox.offer  # bound once: it is called for every message

    def try_tell(self, message: object) -> bool:
        """Send if there is room now; False when the mailbox is full or the actor has stopped (then a dead letter)."""
        return self._offer(message) or self._offer_again(message)

    async def tell(self, message: object, *, timeout: float | None = None) -> None:
        """Send, waiting for room in the order of the senders, for at most `timeout` seconds (default: no limit).

        Raises `MailboxFull` when the deadline passes first, or at once when an actor tells itself without room, and
        `ActorStopped` when the actor is gone for good. In both cases the message is never handled.
        """
        if not self._offer(message):
            await self._open().tell(message, timeout)

    @overload
    async def ask(self, message: Query[R], *, timeout: float | None = 5.0) -> R: ...
    @overload
    async def ask(self, message: object, *, timeout: float | None = 5.0) -> object: ...
    async def ask(self, message: object, *, timeout: float | None = 5.0) -> object:
        """Send and wait for the answer, for at most `timeout` seconds in all (default 5; None: no limit).

        Raises `MailboxFull` or `ActorStopped` (never handled), `AskTimeout` (its `outcome` says whether it may have
        been handled; noticed at most 50 ms late), `ActorCrashed` (the handler raised), `AskCycle` (the actor waits for
        the one that asks), or the very error with which the actor refused.
        """
        return await self._open().ask(message, timeout)

    @property
    def inbox(self) -> Inbox:
        """Where its messages go in now; for transports that pass messages on."""
        return self._open()

    def _open(self) -> Inbox:
        # A child which was started anew under its old path has a new mailbox.
        if self._inbox.closed:
            self._inbox = self._transport.inbox(self.path)
            self._offer = self._inbox.offer
        return self._inbox

    def _offer_again(self, message: object) -> bool:
        if not self._inbox.closed:
            return False
        inbox = self._open()
        if inbox.offer(message):
            return True
        if inbox.closed:
            self._transport.undeliverable(self.path, message)
        return False

    def __repr__(self) -> str:
        return f"Ref({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.path == self.path and other._transport is self._transport

    def __hash__(self) -> int:
        return hash(self.path)
