"""Nodes without a store: a tree of actors and a link each. Several may stand in one process."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import SystemClock
from callboard.kernel.envelope import Failure
from callboard.kernel.errors import CallboardError
from callboard.kernel.ref import Ref
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.transport.port import Inbox, Transport
from callboard.kernel.transport.redis_streams import RedisLink
from tests.support.servers.redis import RedisAt


class Book(Actor):
    """Writes down what comes, with its origin; what it does with some messages is their first word."""

    def __init__(self, entries: list[tuple[object, tuple[str, int] | None]] | None = None) -> None:
        self.entries = [] if entries is None else entries
        self.gate: asyncio.Event | None = None

    async def receive(self, message: Any) -> object:
        match message:
            case ("wait", gate):
                await GATES[gate].wait()
            case ("crash", text):
                raise ValueError(text)
            case ("refuse", text):
                return Failure(CallboardError(text))
            case ("all",):
                return [entry for entry, _ in self.entries]
            case _:
                pass
        self.entries.append((message, self.context.origin))
        return message


GATES: dict[str, asyncio.Event] = {}  # on which a handler waits; by name, since messages are bytes on their way


class Node:
    """One node: its tree, which is entered, and its link, which is open."""

    def __init__(self, link: RedisLink, root: Supervisor) -> None:
        self.link = link
        self.root = root

    async def serve(self, endpoint: str, path: str, *, incarnation: int = 1) -> None:
        """Serve it by the actor at `path`; what is below the endpoint is below the actor's path."""
        await self.link.serve(endpoint, self.inbox_of(path), incarnation=incarnation)

    def inbox_of(self, path: str) -> Callable[[str], Inbox]:
        return lambda below: self.root.ref(f"{path}/{below}" if below else path).inbox

    def ref(self, endpoint: str, path: str = "") -> Ref:
        """To an actor of another node."""
        return Ref(path or endpoint, _Over(self.link, endpoint, path))


class _Over(Transport):
    def __init__(self, link: RedisLink, endpoint: str, path: str) -> None:
        self._link = link
        self._at = (endpoint, path)

    def inbox(self, path: str) -> Inbox:
        return self._link.inbox(*self._at)

    def undeliverable(self, path: str, message: object) -> None:
        raise AssertionError("a link takes it, or has no room")


class Nodes:
    """All of one test, on one server and in one namespace."""

    def __init__(self, at: RedisAt) -> None:
        self.at = at
        self.namespace = f"t{uuid.uuid4().hex}"
        self._open: list[Node] = []

    async def start(
        self, children: Sequence[ChildSpec] = (), *, url: str | None = None, node: str | None = None
    ) -> Node:
        """A further node, by default straight on the server."""
        link = self.link(url=url, node=node)
        await link.open()
        root = Supervisor(children)
        await root.__aenter__()
        started = Node(link, root)
        self._open.append(started)
        return started

    def link(self, *, url: str | None = None, node: str | None = None) -> RedisLink:
        """A link that is not open yet."""
        rng = random.Random(len(self._open))
        return RedisLink(
            url or self.at.url, namespace=self.namespace, node=node or uuid.uuid4().hex, clock=SystemClock(), rng=rng
        )

    def duplicates(self) -> int:
        """Messages that came to nodes a second time and were passed over."""
        return sum(node.link.counters["duplicates"] for node in self._open)

    async def stop(self, node: Node) -> None:
        """End a node in order: first its link, then its actors."""
        self._open.remove(node)
        await node.link.close()
        await node.root.__aexit__(None, None, None)

    async def close(self) -> None:
        """End what still runs, and take away what the test left on the server."""
        for gate in GATES.values():
            gate.set()
        GATES.clear()
        for node in list(reversed(self._open)):
            await self.stop(node)
        with self.at.client() as client:
            if keys := self.keys(client):
                client.delete(*keys)

    def keys(self, client: Any) -> list[bytes]:
        """What stands on the server in this namespace."""
        return list(client.scan_iter(f"{{{self.namespace}}}*", count=1000))

    def waiting(self, client: Any) -> int:
        """Entries of all endpoints that are on the server."""
        return sum(client.xlen(key) for key in self.keys(client) if b":in:" in key)
