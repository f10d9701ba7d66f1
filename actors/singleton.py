"""Singletons: actors of which the cluster has one, on the node that holds the role `singleton:NAME`.

The role's duty is the actor itself and, where there is a link between the nodes, a door to its right that lets messages
from other nodes in. The door opens last and closes first. Its incarnation is the term, so that a link which sees two
doors for one name lets the greater term have the messages.

When something fails: the actor crashes, and is restarted by its supervisor with its mailbox kept; it crashes without
end, and the role goes to another node (`leader.py`). The link does not answer, and the door tries again while the actor
serves its own node. The store does not answer: the term ends, and with it the door, whatever the link does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..kernel.actor import Actor
from ..kernel.child import ChildSpec
from ..kernel.errors import CallboardError, IncarnationOver
from ..kernel.transport.port import Inbox, Link
from .node import NodeParts
from .side_tasks import Broken, SideTasks
from .tenure import Tenure

PREFIX = "singleton:"
FIRST_PAUSE_S = 0.1  # before the door tries again
LONGEST_PAUSE_S = 2.0
LEAVE_S = 0.5  # that a link may take to be told that the door closes


def role_of(name: str) -> str:
    """The role by which a singleton is held."""
    return f"{PREFIX}{name}"


def path_of(name: str, number: int) -> str:
    """Where the singleton runs on its node, in the term of that number."""
    return f"roles/{role_of(name)}/term-{number}/{name}"


def singleton_duty(spec: ChildSpec, tenure: Tenure, node: NodeParts, link: Link | None) -> Sequence[ChildSpec]:
    """What the role of a singleton is held for."""
    if link is None:
        return [spec]
    door = {"link": link, "tenure": tenure, "node": node}
    return [spec, ChildSpec(Door, id="(door)", args=(spec.id,), kwargs=door)]


class Door(Actor):
    """Lets messages from other nodes in to the singleton `name`."""

    def __init__(self, name: str, *, link: Link, tenure: Tenure, node: NodeParts) -> None:
        self._name = name
        self._link = link
        self._tenure = tenure
        self._node = node

    async def started(self) -> None:
        self._tasks = SideTasks(self.context.ref())
        self._opening = self._tasks.spawn(self._open())

    async def stopping(self, exit: object) -> None:
        self._opening.cancel()
        await asyncio.wait([self._opening])
        with suppress(CallboardError, OSError, TimeoutError):
            await self.context.clock.limit(self._link.leave(self._name), LEAVE_S)

    async def receive(self, message: Any) -> None:
        if isinstance(message, Broken):
            raise message.error

    async def _open(self) -> None:
        pause_s = FIRST_PAUSE_S
        has_said = False
        while True:
            try:
                await self._link.serve(self._name, self._inbox, incarnation=self._tenure.term.number)
            except (CallboardError, OSError, TimeoutError) as error:
                if not self._tenure.is_trusted:
                    raise
                if not has_said:
                    what = "the link does not answer for a singleton"
                    if isinstance(error, IncarnationOver):
                        what = "the link has had greater terms than the store: is its ?namespace= another cluster's?"
                    self._node.log.warning(what, name=self._name, error=str(error))
                    has_said = True
                await self.context.clock.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                return

    def _inbox(self, path: str) -> Inbox:
        below = f"/{path}" if path else ""
        return self.context.ref(path_of(self._name, self._tenure.term.number) + below).inbox
