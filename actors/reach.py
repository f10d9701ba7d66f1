"""Refs to singletons: to the node's own mailbox where one runs here, over the link where it runs elsewhere.

Where it runs is looked at for each message, so a ref stays good when its actor moves. A message that the actor here
refused because it is stopping was never handled, and takes the other way. Over the link messages wait while nobody has
the role; without one they wait for a moment here, in case the role is just being taken, and are refused then.

From one sender to one actor messages keep their order, except over a move: those that went over the link before their
actor came here may arrive after those that found it here.
"""

from __future__ import annotations

from contextlib import suppress

from ..kernel.clock import Clock
from ..kernel.errors import ActorStopped
from ..kernel.ref import Ref
from ..kernel.supervisor import Supervisor
from ..kernel.transport.port import Inbox, Link, Transport
from .node import NodeParts
from .singleton import path_of, role_of

PATIENCE_S = 5.0  # for a role that nobody has, where there is no link


class Reach(Transport):
    """Finds singletons by name, for one node or client."""

    def __init__(self, node: NodeParts, root: Supervisor, link: Link | None) -> None:
        self.node = node
        self.root = root
        self.link = link

    def inbox(self, path: str) -> Inbox:
        return _Way(path, self)

    def undeliverable(self, path: str, message: object) -> None:
        self.root.dead_letters.add(path, message, "nobody here runs it, and there is no link to other nodes")


_NO_LINK = "no link to other nodes here: give Runtime(..., link='redis://host:6379/0')"


class _Way(Inbox):
    """To one singleton, wherever it is."""

    __slots__ = ("_clock", "_far", "_here", "_name", "_reach", "closed")

    def __init__(self, name: str, reach: Reach) -> None:
        self._name = name
        self._reach = reach
        self._clock: Clock = reach.node.clock
        self._far = None if reach.link is None else reach.link.inbox(name)
        self._here: tuple[int, Ref] | None = None  # with the term in which it ran here last
        self.closed = False

    def offer(self, message: object) -> bool:
        inbox = self._now()
        return inbox is not None and inbox.offer(message)

    async def tell(self, message: object, timeout_s: float | None) -> None:
        ends = None if timeout_s is None else self._clock.monotonic() + timeout_s
        while True:
            inbox = self._now() or await self._coming(ends)
            try:
                return await inbox.tell(message, self._left_s(ends))
            except ActorStopped:
                if self._is_the_only_way(inbox):
                    raise

    async def ask(self, message: object, timeout_s: float | None) -> object:
        ends = None if timeout_s is None else self._clock.monotonic() + timeout_s
        while True:
            inbox = self._now() or await self._coming(ends)
            try:
                return await inbox.ask(message, self._left_s(ends))
            except ActorStopped:
                if self._is_the_only_way(inbox):
                    raise

    def _now(self) -> Inbox | None:
        """Where messages go now; None if that is nowhere."""
        seat = self._reach.node.seats.get(role_of(self._name))
        if seat is not None and seat.is_on_duty and seat.tenure is not None and seat.tenure.is_trusted:
            number = seat.tenure.term.number
            if self._here is None or self._here[0] != number:
                self._here = (number, self._reach.root.ref(path_of(self._name, number)))
            here = self._here[1].inbox
            if not here.closed:
                return here
        return self._far

    async def _coming(self, ends: float | None) -> Inbox:
        """Where messages go as soon as that is somewhere. Raises `ActorStopped`."""
        seat = self._reach.node.seats.get(role_of(self._name))
        if seat is None:
            raise ActorStopped(self._name, f"it runs on nodes that work, and there is {_NO_LINK}")
        limit = self._clock.monotonic() + PATIENCE_S
        if ends is not None:
            limit = min(limit, ends)
        while (inbox := self._now()) is None:
            if seat.holder is not None and seat.holder != self._reach.node.boot_id:
                raise ActorStopped(self._name, f"it runs on node {seat.holder.hex()}, and there is {_NO_LINK}")
            left_s = limit - self._clock.monotonic()
            if left_s <= 0:
                raise ActorStopped(self._name, f"nobody runs it now{f': {seat.problem}' if seat.problem else ''}")
            with suppress(TimeoutError):
                await self._clock.wait(seat.change(), left_s)
        return inbox

    def _is_the_only_way(self, inbox: Inbox) -> bool:
        """Whether a message that was refused there can go nowhere else."""
        return inbox is self._far or self._now() is inbox

    def _left_s(self, ends: float | None) -> float | None:
        return None if ends is None else max(ends - self._clock.monotonic(), 0.0)
