"""One life of a supervisor: start all, handle what happens to children, stop all.

It is a task with a lane of events: a child ended, a pause is over, stop. It handles them one by one. What a single
child needs (a restart under `one_for_one`) is begun and not waited for, so that a child which takes long to start, or
never does, delays no other; a failed start comes back as one more event. Groups are stopped and started in order, so
those are waited for; every wait is bounded by the children's own shutdown times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .children import Child
from .errors import RestartIntensityExceeded, describe
from .exits import Crashed, Exit, Killed, Shutdown, crashed
from .incarnation import Incarnation, Stop
from .intensity import Backoff, Intensity
from .restarts import Strategy, Verdict, judge

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Ended:
    """On the lane: an incarnation of a child ended by itself."""

    __slots__ = ("child", "exit", "incarnation")

    def __init__(self, child: Child, incarnation: Incarnation, exit: Exit) -> None:
        self.child = child
        self.incarnation = incarnation
        self.exit = exit


class Due:
    """On the lane: the pause before a child's restart is over."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child


@dataclass(frozen=True, slots=True)
class Policy:
    """How a supervisor treats its children's ends; the meanings are those of `Supervisor`'s arguments."""

    strategy: Strategy
    max_restarts: int | None
    within_s: float
    backoff: Backoff | None


class Supervision:
    """What the supervisor of `seat` does from its start to its end."""

    def __init__(self, supervisor: Supervisor, seat: Child, incarnation: Incarnation, policy: Policy) -> None:
        self._supervisor = supervisor
        self._children = supervisor.children
        self._seat = seat
        self._incarnation = incarnation
        self._policy = policy
        self._intensity = Intensity(policy.max_restarts, policy.within_s)
        self._some_wait = True  # to be started by _start_waiting

    async def run(self) -> Exit:
        """Give why it ended; all children have ended by then."""
        final = False
        exit: Exit | None = None
        try:
            while exit is None:
                await self._start_waiting()
                event = await self._next()
                if isinstance(event, Stop):
                    final = event.final
                    exit = Killed() if self._incarnation.killed else Shutdown()
                elif isinstance(event, Ended):
                    exit = await self._ended(event)
                elif isinstance(event, Due):
                    self._due(event.child)
        except asyncio.CancelledError:
            # Only an event loop which is being torn down does that.
            self._supervisor.kill_children()
            exit = Killed()
        except Exception as error:
            exit = crashed(error)  # a fault of ours: children are not left running for all that
        await self._stop_children(self._children.values(), final=final)
        return exit

    async def _start_waiting(self) -> None:
        if not self._some_wait:
            return
        in_order = self._policy.strategy != "one_for_one"
        for child in list(self._children.values()):
            if in_order and child.exit is not None and child.incarnation is not None:
                return  # those to its right wait until its exit has been judged
            if child.state != "waiting":
                continue
            if self._is_told_to_stop():
                return
            child.launch()
            self._supervisor.awaited = child
            while child.is_starting() and not self._is_told_to_stop():
                await self._seat.mailbox.arrival()
            if in_order and child.exit is not None:
                return
        self._some_wait = False

    async def _next(self) -> object:
        while not self._incarnation.lane:
            if not self._incarnation.ready and not any(child.is_starting() for child in self._children.values()):
                self._incarnation.is_ready()
            await self._seat.mailbox.arrival()
        return self._incarnation.lane.pop(0)

    async def _ended(self, event: Ended) -> Exit | None:
        child, exit = event.child, event.exit
        if child.incarnation is not event.incarnation or not self._supervisor.has(child):
            return None  # it was stopped with its group meanwhile, or removed
        child.incarnation = None
        _note_end(child, exit)
        verdict = judge(self._policy.strategy, child.spec.restart, exit, significant=child.spec.significant)
        if verdict is Verdict.FINISH or verdict is Verdict.LET_GO:
            self._supervisor.let_go(child)
            return Shutdown() if verdict is Verdict.FINISH else None
        child.announce(exit, final=False)
        if self._intensity.exceeded(child.system.now()):
            return self._give_up(exit)
        group = self._group(verdict, child)
        await self._stop_children((other for other in group if other is not child), final=False)
        self._restart(child, exit, group)
        return None

    def _give_up(self, exit: Exit) -> Exit:
        assert self._policy.max_restarts is not None
        cause = exit.error if isinstance(exit, Crashed) else None
        error = RestartIntensityExceeded(self._seat.path, self._policy.max_restarts, self._policy.within_s, cause)
        self._seat.note("gave_up", str(error))
        return Crashed(error)

    def _group(self, verdict: Verdict, child: Child) -> list[Child]:
        children = list(self._children.values())
        if verdict is Verdict.RESTART_ONE:
            return [child]
        if verdict is Verdict.RESTART_REST:
            children = children[children.index(child) :]
        # Those which ended for good earlier stay so.
        return [other for other in children if not other.is_retired()]

    def _restart(self, child: Child, exit: Exit, group: list[Child]) -> None:
        self._supervisor.own_restarts += 1
        pause_s = self._pause_s(child)
        parked = isinstance(exit, Crashed) and isinstance(exit.error, RestartIntensityExceeded)
        for one in group:
            if not self._supervisor.has(one):
                continue  # removed while the group was being stopped
            if one is not child and one.spec.restart == "temporary":
                self._supervisor.let_go(one)
                continue
            one.restarts += 1
            if pause_s:
                one.pause(pause_s, parked=parked, then=self._post_due)
            else:
                self._start_again(one)
        if pause_s:
            child.note("parked" if parked else "waiting", f"starts again in {pause_s:.3g} s")
        else:
            child.note("restarted", f"restart {child.restarts}")

    def _pause_s(self, child: Child) -> float:
        if self._policy.backoff is None:
            return 0.0
        if child.up_s() >= max(self._policy.within_s, child.delay_s):
            child.failures = 0
        child.failures += 1
        child.delay_s = self._policy.backoff.delay_s(child.failures, child.system.rng)
        return child.delay_s

    def _post_due(self, child: Child) -> None:
        self._incarnation.post(Due(child))

    def _due(self, child: Child) -> None:
        if child.due is not None and self._supervisor.has(child):
            child.cancel_restart()
            self._start_again(child)

    def _start_again(self, child: Child) -> None:
        if self._policy.strategy == "one_for_one":
            child.launch()
        else:
            child.state = "waiting"
            self._some_wait = True

    async def _stop_children(self, children: Iterable[Child], *, final: bool) -> None:
        own = self._incarnation
        for child in reversed(list(children)):
            child.cancel_restart()
            if child.incarnation is not None and child.exit is None:
                deadline = child.system.now() + child.shutdown_s()
                child.stop(deadline if own.deadline is None else min(deadline, own.deadline), final=final)
                if own.killed:
                    child.incarnation.kill()
                self._supervisor.awaited = child
                while child.exit is None:
                    await self._seat.mailbox.arrival()
            if child.incarnation is not None and child.exit is not None:
                child.incarnation = None
                child.state = "waiting"
                if not final:
                    child.announce(child.exit, final=False)
            if final:
                child.retire()

    def _is_told_to_stop(self) -> bool:
        return self._incarnation.killed or any(isinstance(item, Stop) for item in self._incarnation.lane)


def _note_end(child: Child, exit: Exit) -> None:
    if isinstance(exit, Crashed):
        child.note("crashed", describe(exit.error), error=exit.error)
    elif isinstance(exit, Killed):
        child.note("killed", str(exit))
    else:
        child.note("ended", str(exit))
