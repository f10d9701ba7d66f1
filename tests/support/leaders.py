"""Nodes that do nothing but lead: each has its own tree and its own handle on one store, and a duty that notes it."""

from __future__ import annotations

import asyncio
import inspect
import random
from builtins import list as list_of
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callboard import Actor, ChildSpec, Supervisor
from callboard.actors.node import NodeParts
from callboard.actors.node_log import NodeLog
from callboard.actors.tenure import Seat, Tenure
from callboard.actors.wakeups import Wakeups
from callboard.kernel.clock import Clock
from callboard.runtime.tree import role_spec
from callboard.storage.errors import Unavailable
from callboard.storage.ports.roles import RoleStore
from callboard.storage.ports.store import Store
from callboard.storage.role import RoleRow, Term

T = TypeVar("T")

ROLE = "keeper"
LEASE_S = 2.0


@dataclass(slots=True)
class Book:
    """What duties did, in order: ("began" or "ended", the term)."""

    entries: list[tuple[str, Term]] = field(default_factory=list)

    @property
    def on_duty(self) -> list[Term]:
        """Terms whose duty has begun and not ended."""
        began = [term for what, term in self.entries if what == "began"]
        ended = [term for what, term in self.entries if what == "ended"]
        return [term for term in began if term not in ended]

    @property
    def numbers(self) -> list[int]:
        """Of the terms whose duty began, in that order."""
        return [term.number for what, term in self.entries if what == "began"]


class Keeper(Actor):
    """Notes that it is on duty."""

    def __init__(self, tenure: Tenure, book: Book) -> None:
        self._tenure = tenure
        self._book = book

    async def started(self) -> None:
        self._book.entries.append(("began", self._tenure.fence()))

    async def stopping(self, exit: object) -> None:
        self._book.entries.append(("ended", self._tenure.term))

    async def receive(self, message: Any) -> object:
        raise message


class Said(NodeLog):
    """Keeps what a node says."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__("callboard.node")
        self.lines: list[str] = []

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append(f"{level}: {event}")


class Line(RoleStore):
    """A node's way to the roles, which a test may cut."""

    def __init__(self, inner: RoleStore, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.is_cut = False
        self.loses: str | None = None  # the verb whose next call is executed and its answer lost
        self.slow_s = 0.0  # until a call is executed, whether or not its caller still waits

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        return await self._call("campaign", self._inner.campaign(roles, holder=holder, lease_ms=lease_ms))

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        return await self._call("renew", self._inner.renew(terms, lease_ms=lease_ms))

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        return await self._call("resign", self._inner.resign(terms))

    async def list(self) -> Sequence[RoleRow]:
        return await self._call("list", self._inner.list())

    async def _call(self, verb: str, call: Awaitable[T]) -> T:
        if self.is_cut:
            close_unawaited(call)
            raise Unavailable("cut off")
        answer = await (asyncio.shield(self._later(call)) if self.slow_s else call)
        if self.loses == verb:
            self.loses = None
            raise Unavailable("the answer was lost")
        return answer

    async def _later(self, call: Awaitable[T]) -> T:
        await self._clock.sleep(self.slow_s)
        return await call


def close_unawaited(call: object) -> None:
    if inspect.iscoroutine(call):
        call.close()


class LeadingNode:
    """One node. `store` is open and its own."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        number: int,
        book: Book,
        factory: Callable[..., Actor] = Keeper,
        lease_s: float = LEASE_S,
    ) -> None:
        self.boot_id = bytes([number]) * 16
        self.store = store
        self.line = Line(store.roles, clock)
        self.said = Said()
        self.parts = NodeParts(
            boot_id=self.boot_id,
            clock=clock,
            rng=random.Random(number),
            log=self.said,
            definitions={},
            lease_s=30.0,
            max_crashes=5,
            poll_s=1.0,
        )

        def duty(tenure: Tenure) -> list[ChildSpec]:
            return [ChildSpec(factory, id="keeper", args=(tenure, book))]

        specs = [
            ChildSpec(Wakeups, id="wakeups", args=(store.wakeups,)),
            role_spec(ROLE, duty, self.parts, self.line, lease_s=lease_s),
        ]
        self.root = Supervisor(specs, max_restarts=None, clock=clock, rng=self.parts.rng)

    @property
    def seat(self) -> Seat:
        """What it knows of the role."""
        return self.parts.seats[ROLE]

    @property
    def leads(self) -> bool:
        """Whether its duty is done here."""
        return self.seat.is_on_duty

    @property
    def duty_path(self) -> str:
        """Of the actor that does it."""
        assert self.seat.tenure is not None
        return f"{ROLE}/term-{self.seat.tenure.term.number}/keeper"


@asynccontextmanager
async def leading(node: LeadingNode) -> AsyncIterator[LeadingNode]:
    """The node, up within the block."""
    async with node.root:
        yield node
