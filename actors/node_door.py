"""Lets control messages in over the link: a node is an endpoint of its own, by its boot id.

The store's table of control messages is there on every store, and remains the way that always leads there. The link is
the shorter one, and leads to a node that cannot reach its store. What is asked goes by one id over both ways, so a node
that hears of it twice does it once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..kernel.transport.port import Inbox, Link
from .node import NodeParts
from .side_tasks import Broken, SideTasks

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LEAVE_S = 0.5  # that a link may take to be told that the door closes


def endpoint_of(boot_id: bytes) -> str:
    """The name under which a node is reached."""
    return f"node:{boot_id.hex()}"


class NodeDoor(Actor):
    """Serves this node's endpoint as long as the node works. A link that does not answer is tried again, in silence."""

    def __init__(self, link: Link, *, node: NodeParts) -> None:
        self._link = link
        self._node = node

    async def started(self) -> None:
        self._tasks = SideTasks(self.context.ref())
        self._opening = self._tasks.spawn(self._open())

    async def stopping(self, exit: object) -> None:
        self._opening.cancel()
        await asyncio.wait([self._opening])
        with suppress(CallboardError, OSError, TimeoutError):
            await self.context.clock.limit(self._link.leave(endpoint_of(self._node.boot_id)), LEAVE_S)

    async def receive(self, message: Any) -> None:
        if isinstance(message, Broken):
            raise message.error

    async def _open(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with suppress(CallboardError, OSError, TimeoutError):
                await self._link.serve(endpoint_of(self._node.boot_id), self._inbox, incarnation=1)
                return
            await self.context.clock.sleep(pause_s * self._node.rng.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _inbox(self, path: str) -> Inbox:
        """The controls' alone: nothing else of a node is reached from outside."""
        return self.context.ref("(nothing below a node)" if path else "controls").inbox
