"""The record that a supervisor keeps of each child: what stays when incarnations come and go.

That is path, mailbox, counters and watchers. The supervisor owns the record, starts and stops its incarnations one
after the other, and retires it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .child import ChildInfo, ChildSpec, State
from .clock import Timer
from .errors import MailboxFull
from .exits import Crashed, Down, Exit, Killed, Shutdown
from .incarnation import Body, Incarnation, settle
from .mailbox import Mailbox
from .ref import Ref
from .system import ChildEvent, EventKind, System

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Child:
    """One child of `parent`, over all its incarnations."""

    __slots__ = (
        "_attendants",
        "_body",
        "_retired",
        "_watchers",
        "delay_s",
        "due",
        "exit",
        "failures",
        "incarnation",
        "is_added",
        "last_crash",
        "mailbox",
        "nested",
        "parent",
        "path",
        "restarts",
        "spec",
        "started_at",
        "state",
        "system",
        "timer",
    )

    def __init__(
        self,
        spec: ChildSpec,
        path: str,
        system: System,
        parent: Supervisor,
        body: Body,
        nested: Supervisor | None,
        *,
        is_added: bool = False,
    ) -> None:
        self.spec = spec
        self.path = path
        self.system = system
        self.parent = parent
        self.nested = nested
        self.mailbox = Mailbox(path, spec.mailbox, system)
        self.state: State = "waiting"
        self.incarnation: Incarnation | None = None  # None between two lives
        self.exit: Exit | None = None  # of the last incarnation; None while one lives
        self.restarts = 0
        self.failures = 0  # in a row, for the back-off
        self.delay_s = 0.0  # the last pause before a restart
        self.due: float | None = None  # when it is started again
        self.started_at: float | None = None
        self.last_crash: str | None = None
        self.timer: Timer | None = None
        self.is_added = is_added  # by start_child, and so not among its supervisor's specs
        self._attendants: list[asyncio.Future[Exit | None]] | None = None
        self._body = body
        self._retired = False
        self._watchers: dict[Incarnation, None] | None = None
        if nested is not None:
            self.mailbox.close("it is a supervisor")
        if path:  # the outermost supervisor has none
            system.registry.add(self)

    # For its supervisor.

    def launch(self) -> None:
        """Begin a new incarnation; the one before must be over."""
        assert self.incarnation is None
        self.cancel_restart()
        self.state = "starting"
        self.started_at = None
        self.exit = None
        self.incarnation = Incarnation(self)
        self.incarnation.launch(self._body)

    def renew(self) -> None:
        """Get ready for a new life of the supervisor."""
        self.cancel_restart()
        self.state = "waiting"
        self.incarnation = None
        self.failures = 0

    def is_starting(self) -> bool:
        """Whether an incarnation has begun and is not ready yet."""
        return self.state == "starting"

    def attend(self) -> asyncio.Future[Exit | None]:
        """Resolved when it is next ready (None) or ends (why); then its end is no matter for its supervisor."""
        attendant: asyncio.Future[Exit | None] = self.system.loop.create_future()
        if self._attendants is None:
            self._attendants = []
        self._attendants.append(attendant)
        return attendant

    def up_s(self) -> float:
        """For how long the last incarnation was, or the present one has been, ready; 0 if it never was."""
        return 0.0 if self.started_at is None else self.system.now() - self.started_at

    def stop(self, deadline: float, *, final: bool) -> None:
        """Ask the incarnation to end by `deadline`; `ended` follows."""
        self.cancel_restart()
        if self.incarnation is not None:
            self.state = "stopping"
            self.incarnation.stop(deadline, final=final)

    def shutdown_s(self) -> float:
        """How long it may take to stop."""
        return self.spec.shutdown if self.nested is None else max(self.spec.shutdown, self.nested.shutdown_s())

    def cancel_restart(self) -> None:
        """Forget about a delayed restart."""
        self.due = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def pause(self, pause_s: float, *, parked: bool, then: Callable[[Child], None]) -> None:
        """Wait for `pause_s` seconds before the next incarnation; meanwhile the mailbox takes messages."""
        self.state = "parked" if parked else "restarting"
        self.due = self.system.now() + pause_s
        self.timer = self.system.clock.call_later(pause_s, partial(then, self))

    def is_retired(self) -> bool:
        """Whether it was let go for good."""
        return self._retired

    def retire(self, reason: str = "it has stopped") -> None:
        """Let it go for good: whatever waits is refused, watchers hear a final `Down`, its path is free."""
        if self._retired:
            return
        self._retired = True
        self.cancel_restart()
        self.state = "stopped"
        self.mailbox.close(reason)
        if self.nested is not None:
            self.nested.retire(reason)
        self.system.registry.remove(self)
        self.announce(self.exit or Shutdown(), final=True)

    def announce(self, exit: Exit, *, final: bool) -> None:
        """Send `Down` to the watchers."""
        if not self._watchers:
            return
        down = Down(Ref(self.path, self.system.transport), exit, final)
        for watcher in self._watchers:
            watcher.post(down)
        if final:
            self._watchers = None

    def info(self, id: str) -> ChildInfo:
        """How it fares, under the name `id`."""
        box = self.mailbox
        return ChildInfo(
            id=id,
            state=self.state,
            is_supervisor=self.nested is not None,
            restarts=self.restarts,
            restart_in_s=None if self.due is None else max(self.due - self.system.now(), 0.0),
            last_crash=self.last_crash,
            queue_length=len(box.queue),
            queue_age_s=box.age_s(),
            handled=box.handled,
            skipped=box.skipped,
            crashed=box.crashed,
        )

    def note(self, kind: EventKind, text: str, *, error: BaseException | None = None) -> None:
        """Tell the observer."""
        self.system.note(
            ChildEvent(kind, self.path, text, error, self.delay_s if kind in ("waiting", "parked") else None)
        )

    # For its incarnation.

    def changed(self) -> None:
        """The incarnation is ready."""
        if self.state == "starting":
            self.state = "running"
            self.started_at = self.system.now()
            self._attend(None)
        self.parent.child_changed(self)

    def let_go(self, incarnation: Incarnation) -> None:
        """The incarnation's task is over: take back what it had asked for."""
        for timer in list(incarnation.timers or ()):
            timer.cancel()
        for watched in incarnation.watched or ():
            if watched._watchers is not None:
                watched._watchers.pop(incarnation, None)
        incarnation.watched = None

    def ended(self, incarnation: Incarnation, exit: Exit) -> None:
        """The incarnation is over, or was left behind."""
        settle(incarnation, exit)
        self.exit = exit
        if isinstance(exit, Crashed | Killed):
            self.last_crash = str(exit)
            if isinstance(exit, Crashed):
                self.mailbox.crashed += 1
        self.state = "stopped"
        if self._attend(exit):
            self.parent.child_changed(self)
        else:
            self.parent.child_ended(self, incarnation, exit)

    def _attend(self, exit: Exit | None) -> bool:
        attendants, self._attendants = self._attendants, None
        waiting = [attendant for attendant in attendants or () if not attendant.done()]
        for attendant in waiting:
            attendant.set_result(exit)
        return bool(waiting)

    def kill_inside(self) -> bool:
        """Cancel what a supervisor supervises instead of its own task, which then ends in order; False for an actor."""
        if self.nested is None:
            return False
        self.nested.kill_children()
        return True

    # For its context.

    def watch(self, watcher: Incarnation, ref: Ref) -> None:
        """Let `watcher` hear of the end of the actor at `ref`."""
        watched = self.system.registry.find(ref.path)
        if watched is None:
            watcher.post(Down(ref, Shutdown(), final=True))
            return
        if watched._watchers is None:
            watched._watchers = {}
        watched._watchers[watcher] = None
        if watcher.watched is None:
            watcher.watched = []
        watcher.watched.append(watched)

    def unwatch(self, watcher: Incarnation, ref: Ref) -> None:
        """Undo `watch`."""
        watched = self.system.registry.find(ref.path)
        if watched is not None and watched._watchers is not None:
            watched._watchers.pop(watcher, None)

    def set_aside(self, incarnation: Incarnation) -> None:
        """Stash the message in hand."""
        if not isinstance(incarnation.in_hand, tuple):
            raise RuntimeError("stash() puts the message in hand aside: call it once, within receive")
        if incarnation.stash is None:
            incarnation.stash = []
        if len(incarnation.stash) >= self.spec.mailbox:
            raise MailboxFull(self.path, self.spec.mailbox)
        incarnation.stash.append(incarnation.in_hand)
        incarnation.in_hand = None
