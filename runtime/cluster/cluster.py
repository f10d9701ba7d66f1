"""A cluster of node processes on one machine, under one supervisor: started, kept, rolled, drained.

SIGTERM or SIGINT drains all nodes at once, a second one interrupts their jobs, a third one kills. SIGHUP rolls: one
node after the other drains, ends, and is followed by a new process, which reads the program and its settings anew.
The supervisor itself never imports the program, so nothing in it can take the supervisor down.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ...actors.node_log import NodeLog
from ...kernel.clock import Clock
from ...kernel.signals import handle_signals
from .bell import Bell
from .member import LOOK_S, Member, Process


class Cluster:
    """As many places as names. `run` once."""

    def __init__(
        self,
        names: Sequence[str],
        launch: Callable[[str], Process],
        *,
        clock: Clock,
        rng: random.Random,
        log: NodeLog,
        ready_s: float,  # the longest that a new node may take to be ready, before a roll is given up
        stuck_s: float,  # the longest that a node may take to end
    ) -> None:
        self._log = log
        self._ready_s = ready_s
        self._bell = Bell(clock)
        self.members = [
            Member(name, launch, self._bell, clock=clock, rng=rng, log=log, stuck_s=stuck_s) for name in names
        ]
        self._is_ending = False
        self._hurries = 0
        self._rolls_wanted = 0

    async def run(self) -> bool:
        """Until a signal; whether every node ended as it was asked to, none had to be killed."""
        with handle_signals(drain=self.end, interrupt=self.hurry), self._roll_and_child_signals():
            async with asyncio.TaskGroup() as tasks:
                roller = tasks.create_task(self._roll_when_wanted())
                keepers = [tasks.create_task(member.keep()) for member in self.members]
                await asyncio.wait(keepers)
                roller.cancel()
        return not any(member.was_killed for member in self.members)

    # What signals do.

    def end(self) -> None:
        """Drain all nodes, and let none follow."""
        self._is_ending = True
        self._log.info("cluster drains", nodes=sum(member.is_running for member in self.members))
        for member in self.members:
            member.end()

    def hurry(self) -> None:
        """Interrupt what still runs; asked for once more, kill it."""
        self._hurries += 1
        self._log.warning("nodes are interrupted" if self._hurries == 1 else "nodes are killed")
        for member in self.members:
            if self._hurries == 1:
                member.hurry()
            else:
                member.kill()
        self._bell.ring()

    def roll(self) -> None:
        """Replace one node after the other. While that goes on already, once more from the start."""
        self._rolls_wanted += 1
        self._bell.ring()

    @contextmanager
    def _roll_and_child_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.roll)
        loop.add_signal_handler(signal.SIGCHLD, self._bell.ring)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            loop.remove_signal_handler(signal.SIGCHLD)

    # Rolling.

    async def _roll_when_wanted(self) -> None:
        while True:
            await self._bell.until(lambda: self._rolls_wanted > 0)
            self._rolls_wanted = 0
            await self._roll()

    async def _roll(self) -> None:
        """Those that are not ready first, which takes nobody away; then each only while all others are ready."""
        total = len(self.members)
        self._log.info("cluster rolls", nodes=total)
        if total == 1:
            self._log.warning("with one node none is ready while it is replaced; --nodes 2 would keep one")
        for done, member in enumerate(sorted(self.members, key=lambda member: member.is_ready)):
            others = [other for other in self.members if other is not member]
            await self._bell.until(lambda: self._may_go(member, others), within_s=self._ready_s, look_s=LOOK_S)  # noqa: B023
            why = None
            if not self._may_go(member, others):
                why = "not ready: " + ", ".join(other.name for other in others if not other.is_ready)
            elif not await self._replaced(member):
                why = f"its new process was not ready within {self._ready_s:g} s, or crashed"
            if self._is_ending:
                return
            if why is not None:
                self._log.error("roll given up", at=member.name, why=why, rolled=f"{done} of {total}")
                return
            self._log.info("node rolled", node=member.name, rolled=f"{done + 1} of {total}")
        self._log.info("cluster rolled", nodes=total)

    def _may_go(self, member: Member, others: Sequence[Member]) -> bool:
        return self._is_ending or not member.is_ready or all(other.is_ready for other in others)

    async def _replaced(self, member: Member) -> bool:
        """Replace one node's process; whether the new one became ready."""
        if self._is_ending:
            return False
        starts = member.starts
        member.replace()
        await self._bell.until(lambda: self._is_ending or member.starts > starts)
        await self._bell.until(
            lambda: self._is_ending or member.is_ready or not member.is_running,
            within_s=self._ready_s,
            look_s=LOOK_S,
        )
        return member.is_ready
