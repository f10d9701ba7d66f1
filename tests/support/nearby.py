"""A link between nodes that share a process: what the actors need of one, without a server.

Messages wait while nobody serves their endpoint, and go to the greatest incarnation. Nothing is encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from callboard.kernel.clock import Clock
from callboard.kernel.errors import ActorStopped, AskTimeout, IncarnationOver
from callboard.kernel.transport.port import Inbox, Link


@dataclass
class Endpoint:
    """One name."""

    incarnation: int = 0
    inbox_of: Callable[[str], Inbox] | None = None
    overtaken: Callable[[], object] | None = None
    waiting: list[object] = field(default_factory=list)  # told, handled by nobody yet
    served: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """What all nodes share."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.endpoints: dict[str, Endpoint] = {}

    def link(self, url: str | None, boot_id: bytes) -> Link:
        """A node's own."""
        return NearbyLink(self)

    def endpoint(self, name: str) -> Endpoint:
        return self.endpoints.setdefault(name, Endpoint())


class NearbyLink(Link):
    """One node's way to the others."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def inbox(self, endpoint: str, path: str = "") -> Inbox:
        return _Far(self._hub, endpoint, path)

    async def serve(
        self,
        endpoint: str,
        inbox_of: Callable[[str], Inbox],
        *,
        incarnation: int,
        overtaken: Callable[[], object] | None = None,
    ) -> None:
        found = self._hub.endpoint(endpoint)
        if incarnation < found.incarnation:
            raise IncarnationOver(endpoint, incarnation)
        if found.overtaken is not None and incarnation > found.incarnation:
            found.overtaken()
        found.incarnation, found.inbox_of, found.overtaken = incarnation, inbox_of, overtaken
        waiting, found.waiting = found.waiting, []
        for message in waiting:
            inbox_of("").offer(message)
        found.served.set()

    @property
    def counters(self) -> Mapping[str, int]:
        return {}

    async def leave(self, endpoint: str) -> None:
        found = self._hub.endpoint(endpoint)
        found.inbox_of = None
        found.served.clear()


class _Far(Inbox):
    def __init__(self, hub: Hub, endpoint: str, path: str) -> None:
        self._hub = hub
        self._endpoint = endpoint
        self._path = path
        self.closed = False

    def offer(self, message: object) -> bool:
        found = self._hub.endpoint(self._endpoint)
        if found.inbox_of is None:
            found.waiting.append(message)
            return True
        return found.inbox_of(self._path).offer(message)

    async def tell(self, message: object, timeout_s: float | None) -> None:
        self.offer(message)

    async def ask(self, message: object, timeout_s: float | None) -> object:
        found = self._hub.endpoint(self._endpoint)
        assert timeout_s is not None
        clock, ends = self._hub.clock, self._hub.clock.monotonic() + timeout_s
        while (left_s := ends - clock.monotonic()) > 0:
            try:
                await clock.limit(found.served.wait(), left_s)
                inbox_of = found.inbox_of
                if inbox_of is not None:
                    return await clock.limit(inbox_of(self._path).ask(message, left_s), left_s)
            except ActorStopped:
                found.served.clear()  # it stops, and leaves next
            except TimeoutError:
                break
        raise AskTimeout(self._endpoint, timeout_s, "unknown")
