"""The transport within one node: messages are passed as they are, into the mailbox that the registry knows."""

from __future__ import annotations

from ..errors import ActorStopped
from ..letters import DeadLetters
from ..registry import Registry
from .port import Inbox, Transport


class LocalTransport(Transport):
    """Finds the mailboxes of this node."""

    def __init__(self, registry: Registry, letters: DeadLetters) -> None:
        self._registry = registry
        self._letters = letters

    def inbox(self, path: str) -> Inbox:
        return self._registry.inbox(path) or _Nowhere(path, self)

    def undeliverable(self, path: str, message: object) -> None:
        self._letters.add(path, message, self.why(path))

    def why(self, path: str) -> str:
        """Why nobody takes messages at `path`, for people."""
        return self._registry.why_not(path)


class _Nowhere(Inbox):
    """The inbox of an actor which is not there."""

    __slots__ = ("_path", "_transport", "closed")

    def __init__(self, path: str, transport: LocalTransport) -> None:
        self._path = path
        self._transport = transport
        self.closed = True

    def offer(self, message: object) -> bool:
        return False

    async def tell(self, message: object, timeout_s: float | None) -> None:
        self._transport.undeliverable(self._path, message)
        raise ActorStopped(self._path, self._transport.why(self._path))

    async def ask(self, message: object, timeout_s: float | None) -> object:
        raise ActorStopped(self._path, self._transport.why(self._path))
