"""One life of a child: a task of its own in a fresh context, a system lane, and a way out that is bounded.

The way out: `stop` puts `Stop` on the lane and sets a deadline. When it passes, the task is cancelled, once: cleanup
after that is not cancelled again (it is shielded) but has `ABANDON_AFTER_S` left (it is bounded). A task which is
still there then is reported and left behind; whoever waits for the incarnation is told that it ended. So an
incarnation ends within its deadline and one second, whatever its code does, as long as the loop turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from os.path import dirname
from types import CoroutineType
from typing import TYPE_CHECKING

from .clock import Timer
from .envelope import Envelope, Failure, Redelivered
from .errors import ActorCrashed
from .exits import Crashed, Exit, Killed, crashed
from .scene import acting

if TYPE_CHECKING:
    from .children import Child

ABANDON_AFTER_S = 1.0


class Stop:
    """On the lane: end now, in order. `final` when no other incarnation will follow."""

    __slots__ = ("final",)

    def __init__(self, *, final: bool) -> None:
        self.final = final


Body = Callable[["Incarnation"], Coroutine[object, object, Exit]]


class Incarnation:
    """Runs `body` once for `child`; the child hears when it is ready and when it has ended."""

    __slots__ = (
        "abandoned",
        "child",
        "deadline",
        "in_hand",
        "killed",
        "lane",
        "path",
        "ready",
        "stash",
        "task",
        "timer",
        "timers",
        "watched",
    )

    def __init__(self, child: Child) -> None:
        self.child = child
        self.path = child.path
        self.task: asyncio.Task[object] | None = None
        self.lane: list[object] = []  # system messages, for this incarnation alone; looked at between user messages
        self.in_hand: Envelope | list[Envelope] | None = None  # being handled
        self.stash: list[Envelope] | None = None
        self.timers: dict[Timer, None] | None = None  # cancelled when it ends
        self.watched: list[Child] | None = None
        self.ready = False
        self.killed = False
        self.abandoned = False
        self.deadline: float | None = None  # when it is cancelled, once somebody wants it to end
        self.timer: Timer | None = None

    def launch(self, body: Body) -> None:
        """Start the task."""
        context = Context()
        context.run(acting.set, self)
        self.task = self.child.system.loop.create_task(body(self), name=self.path, context=context)
        self.task.add_done_callback(self._ended, context=context)

    def is_ready(self) -> None:
        """Called by the body when it has started."""
        self.ready = True
        self.child.changed()

    def post(self, item: object) -> None:
        """Put something on the lane."""
        self.lane.append(item)
        self.child.mailbox.wake()

    def stop(self, deadline: float, *, final: bool) -> None:
        """Ask it to end, and see to it that it has by `deadline` (and a second)."""
        self.post(Stop(final=final))
        self.end_by(deadline)

    def end_by(self, deadline: float) -> None:
        """Cancel it at `deadline`, unless that is settled for an earlier moment."""
        if self.killed or (self.deadline is not None and self.deadline <= deadline):
            return
        self.deadline = deadline
        if self.timer is not None:
            self.timer.cancel()
        clock = self.child.system.clock
        self.timer = clock.call_later(max(deadline - clock.monotonic(), 0.0), self.kill)

    def kill(self) -> None:
        """Cancel it now."""
        if self.killed or self.task is None or self.task.done():
            return
        self.killed = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.child.kill_inside():
            self.task.cancel()
            self.timer = self.child.system.clock.call_later(ABANDON_AFTER_S, self._abandon)

    def chain(self) -> tuple[str, ...]:
        """See `Acting.chain`."""
        if isinstance(self.in_hand, tuple) and (ask := self.in_hand[2]) is not None:
            return (*ask.chain, self.path)
        return (self.path,)

    def _ended(self, task: asyncio.Task[object]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.child.let_go(self)
        if self.abandoned:
            self.child.note("ended", "left behind earlier, it has ended now")
            return
        self.child.ended(self, _exit_of(task))

    def _abandon(self) -> None:
        assert self.task is not None
        if self.task.done():
            return  # its done callback is on the way
        self.abandoned = True
        self.lane.append(Stop(final=True))  # should it ever come back to its mailbox, it ends there
        self.child.let_go(self)
        self.child.note("abandoned", f"it swallowed its cancellation and is left behind at {_where(self.task)}")
        self.child.ended(self, Killed(abandoned=True))


def _where(task: asyncio.Task[object]) -> str:
    """The line at which the actor's own code waits: the first one outside the kernel, down the chain of awaits."""
    found = "an unknown place"
    awaited: object = task.get_coro()
    while isinstance(awaited, CoroutineType) and (frame := awaited.cr_frame) is not None:
        found = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        if dirname(frame.f_code.co_filename) != dirname(__file__):
            break
        awaited = awaited.cr_await
    return found


def _exit_of(task: asyncio.Task[object]) -> Exit:
    if task.cancelled():
        return Killed()
    if (error := task.exception()) is not None:
        return crashed(error)
    exit = task.result()
    assert isinstance(exit, Exit)
    return exit


def settle(incarnation: Incarnation, exit: Exit) -> None:
    """Decide over what an ended incarnation leaves: the stash goes back, what was in hand as the child spec says."""
    in_hand, incarnation.in_hand = incarnation.in_hand, None
    stash, incarnation.stash = incarnation.stash, None
    child = incarnation.child
    back: list[Envelope] = stash or []
    if in_hand is not None:
        for envelope in in_hand if isinstance(in_hand, list) else [in_hand]:
            if _comes_again(incarnation, envelope):
                back.append(Redelivered(envelope))
            else:
                _give_up(child, envelope, exit)
    if back:
        child.mailbox.put_back(back)


def _comes_again(incarnation: Incarnation, envelope: Envelope) -> bool:
    child = incarnation.child
    if child.spec.in_flight != "redeliver" or isinstance(envelope, Redelivered):
        return False
    # One that was left behind may yet be done with it.
    return not (incarnation.abandoned or child.mailbox.closed)


def _give_up(child: Child, envelope: Envelope, exit: Exit) -> None:
    message, _, ask = envelope
    cause = exit.error if isinstance(exit, Crashed) else None
    letters = child.system.letters
    if child.spec.in_flight == "quarantine":
        letters.quarantine(child.path, message, str(exit))
    else:
        letters.add(child.path, message, f"in hand when its actor ended ({exit})")
    if ask is not None:
        ask.answer(Failure(ActorCrashed(child.path, cause)))
