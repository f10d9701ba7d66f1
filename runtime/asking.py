"""Asks a node of the cluster for something, through the store, and waits for its answer.

    async with asking(store) as nodes:                       # a store alone, as commands open it
        await nodes.ask(await nodes.find("0f3a"), "drain", timeout_s=10)
    await runtime.node.asking().ask(row, "ping")             # from a runtime that is open

The verbs are those of `actors/controls.py`. Where there is a link, it is asked over that first, since that is the
shorter way and leads also to a node that cannot reach its store; without an answer there, by the store, under the same
id. An answer in the store is looked for at each wake-up, and now and then without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from ..actors.node_door import endpoint_of
from ..kernel.clock import Clock
from ..kernel.codec import Undecodable, decode, encode
from ..kernel.errors import CallboardError
from ..kernel.transport.port import Link
from ..storage.control import Control
from ..storage.ports.store import Store
from ..storage.records import Node, Wakeup
from ..storage.store_clock import StoreClock
from .environment import machine_environment

WAIT_S = 10.0
FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 0.5
LINK_S = 1.0  # that an answer over the link is waited for


class UnknownNode(CallboardError, LookupError):
    """No node of that name works on the store."""


class NodeSilent(CallboardError, TimeoutError):
    """A node did not answer in time; it may yet do what it was asked."""

    def __init__(self, node: Node, verb: str, timeout_s: float) -> None:
        super().__init__(
            f"node {name_of(node)} did not answer {verb!r} within {timeout_s:g} s: it has died, or cannot reach the"
            " store; should it come back, it may still do it"
        )
        self.node = node
        self.verb = verb


class NodeRefused(CallboardError):
    """A node answered that it cannot do what it was asked."""

    def __init__(self, node: Node, text: str) -> None:
        super().__init__(f"node {name_of(node)}: {text}")
        self.node = node


def name_of(node: Node) -> str:
    """A node as people tell it from others."""
    return f"{node.boot_id.hex()} ({node.host}:{node.pid})"


class Asking:
    """Asks the nodes of one store. `announce` tells others of a request, `changed` is set when answers may be there."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        entropy: Callable[[int], bytes],
        announce: Callable[[set[Wakeup]], Any],
        changed: asyncio.Event,
        link: Link | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._announce = announce
        self._changed = changed
        self._link = link

    async def find(self, name: str) -> Node:
        """The node whose id begins with `name`, or that is called so as host:pid. Raises `UnknownNode`."""
        rows = await self._store.nodes.list()
        exact = [row for row in rows if f"{row.host}:{row.pid}" == name]
        found = exact or [row for row in rows if name and row.boot_id.hex().startswith(name.lower())]
        if len(found) == 1:
            return found[0]
        what = "there are several of that name" if found else "there is none of that name"
        known = ", ".join(name_of(row) for row in found or rows) or "none: no node works on this store"
        raise UnknownNode(f"node {name!r:.80}: {what}; known: {known}")

    async def ask(
        self, node: Node, verb: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = WAIT_S
    ) -> dict[str, Any]:
        """What the node answers to `verb`. Raises `NodeSilent`, `NodeRefused`, and `Unavailable` for the store."""
        encoded = b"" if body is None else encode(dict(body))
        control = Control(self._entropy(16), node.boot_id, verb, encoded, self._clock.wall_ms())
        ends = self._clock.monotonic() + timeout_s
        if self._link is not None:
            answered = await self._over(self._link, node, control, min(timeout_s, LINK_S))
            if answered is not None:
                return _read(node, answered)
        with suppress(TimeoutError):
            await self._clock.limit(self._store.controls.send([control]), timeout_s)
            await self._tell(node)
            pause_s = FIRST_LOOK_S
            while (left_s := ends - self._clock.monotonic()) > 0:
                self._changed.clear()
                [answer] = await self._clock.limit(self._store.controls.answers([control.id]), left_s)
                if answer is not None:
                    return _read(node, answer.body)
                with suppress(TimeoutError):
                    await self._clock.limit(self._changed.wait(), min(pause_s, left_s))
                pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)
        raise NodeSilent(node, verb, timeout_s)

    async def _over(self, link: Link, node: Node, control: Control, timeout_s: float) -> bytes | None:
        """The answer over the link; None without one."""
        try:
            answered = await link.inbox(endpoint_of(node.boot_id)).ask(control, timeout_s)
        except CallboardError:
            return None
        return answered if isinstance(answered, bytes) else None

    async def _tell(self, node: Node) -> None:
        told = self._announce({Wakeup("nodes", node.boot_id.hex())})
        if asyncio.iscoroutine(told):
            await told


@asynccontextmanager
async def asking(store: Store) -> AsyncIterator[Asking]:
    """For an open store that nothing else listens on."""
    changed = asyncio.Event()

    def hear(wakeups: Collection[Wakeup]) -> None:
        if not wakeups or any(wakeup.topic == "nodes" for wakeup in wakeups):
            changed.set()

    await store.wakeups.listen(hear)
    try:
        machine = machine_environment()
        yield Asking(
            store,
            clock=StoreClock(machine.clock, store.wall_ms),
            entropy=machine.entropy,
            announce=store.wakeups.announce,
            changed=changed,
        )
    finally:
        await store.wakeups.close()


def _read(node: Node, encoded: bytes) -> dict[str, Any]:
    try:
        match decode(encoded):
            case {"ok": dict() as answer}:
                return answer
            case {"error": str() as text}:
                raise NodeRefused(node, text)
            case other:
                raise NodeRefused(node, f"its answer means nothing here: {other!r:.80}")
    except Undecodable as error:
        raise NodeRefused(node, f"its answer cannot be read: {error}") from None
