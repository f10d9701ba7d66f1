"""A leader's calls to the store: one at a time, each bounded, answered as a message to the leader.

They go to the port itself. The storage actor would repeat them until the store answers, and an answer that late is
worse than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ..kernel.clock import Clock
from ..kernel.errors import CallboardError
from ..kernel.ref import Ref
from ..storage.errors import Unavailable
from ..storage.ports.roles import RoleStore
from ..storage.role import RoleRow, Term
from .side_tasks import SideTasks

LAST_S = 1.0
Asked = Literal["campaign", "renew", "resign"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that began at `began` (monotonic seconds) has ended: what the store said, or why it did not."""

    asked: Asked
    began: float
    row: RoleRow | None = None  # of a campaign
    was_ours: bool = False  # of a renewal or a resignation
    error: CallboardError | None = None


class Ballot:
    """Asks for one role, for the node `holder`; the leader is told."""

    def __init__(
        self, role: str, roles: RoleStore, *, holder: bytes, lease_s: float, leader: Ref, clock: Clock, tasks: SideTasks
    ) -> None:
        self._role = role
        self._roles = roles
        self._holder = holder
        self._lease_ms = int(lease_s * 1000)
        self._longest_s = lease_s / 3
        self._leader = leader
        self._clock = clock
        self._tasks = tasks
        self._under_way: asyncio.Task[Answered] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way, or its answer not handled yet."""
        return self._under_way is not None

    def campaign(self) -> None:
        """Ask for the role."""
        self._ask("campaign", self._campaign)

    def renew(self, term: Term) -> None:
        """Ask for another lease."""
        self._ask("renew", lambda: self._roles.renew([term], lease_ms=self._lease_ms))

    def resign(self, term: Term) -> None:
        """Give the role away."""
        self._ask("resign", lambda: self._roles.resign([term]))

    def handled(self) -> None:
        """The answer was taken note of: the next call may be made."""
        self._under_way = None

    async def last_words(self, held: Term | None, *, in_trouble: bool) -> bool:
        """Wait for the call under way and resign what is held, by that very call perhaps; whether anything was.

        A second for each where the store was away lately: what is held then ends by itself.
        """
        if in_trouble:
            self._longest_s = min(self._longest_s, LAST_S)
        if self._under_way is not None:
            with suppress(Exception):  # that would be the crash which ends the leader, and it is told already
                row = (await self._clock.limit(self._under_way, self._longest_s)).row  # a campaign may yet be granted
                if row is not None and row.holder == self._holder:
                    held = row.term
        if held is None:
            return False
        term = held
        return (await self._answer("resign", lambda: self._roles.resign([term]))).was_ours

    def _campaign(self) -> Awaitable[list[RoleRow]]:
        return self._roles.campaign([self._role], holder=self._holder, lease_ms=self._lease_ms)

    def _ask(self, asked: Asked, call: Callable[[], Awaitable[list[RoleRow] | list[bool]]]) -> None:
        assert self._under_way is None
        self._under_way = self._tasks.spawn(self._tell(asked, call))

    async def _tell(self, asked: Asked, call: Callable[[], Awaitable[list[RoleRow] | list[bool]]]) -> Answered:
        answered = await self._answer(asked, call)
        await self._leader.tell(answered)
        return answered

    async def _answer(self, asked: Asked, call: Callable[[], Awaitable[list[RoleRow] | list[bool]]]) -> Answered:
        """What the store says in time; a call that is given up may yet take effect."""
        began = self._clock.monotonic()
        try:
            [answer] = await self._clock.limit(call(), self._longest_s)
        except CallboardError as error:
            return Answered(asked, began, error=error)
        except TimeoutError:
            return Answered(asked, began, error=Unavailable(f"no answer within {self._longest_s:.3g} s"))
        if isinstance(answer, RoleRow):
            return Answered(asked, began, row=answer)
        return Answered(asked, began, was_ours=answer)
