"""What an actor sees of the kernel."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .clock import Clock, Timer
from .incarnation import Incarnation, Stop
from .ref import Ref
from .timers import Delayed

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Context:
    """Set on an actor before `started`, and new for each incarnation."""

    __slots__ = ("_incarnation",)

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    @property
    def path(self) -> str:
        """The ids from the root down to this actor, joined by slashes."""
        return self._incarnation.path

    @property
    def parent(self) -> Supervisor:
        """The supervisor of this actor: it starts and stops children."""
        return self._incarnation.child.parent

    @property
    def clock(self) -> Clock:
        """The node's clock."""
        return self._incarnation.child.system.clock

    @property
    def rng(self) -> random.Random:
        """The node's randomness."""
        return self._incarnation.child.system.rng

    def ref(self, path: str | None = None) -> Ref:
        """The ref of the actor at `path`, counted from the root; without it the actor's own.

        It may be made before that actor has started and stays valid across restarts. Where nothing is at `path` when
        it is used, sending raises `ActorStopped`.
        """
        return Ref(self._incarnation.path if path is None else path, self._incarnation.child.system.transport)

    @property
    def origin(self) -> tuple[str, int] | None:
        """Of the message in hand: the node that sent it, and its number among those of that node to this endpoint.

        None for a message from this node, and within `receive_batch`. A message over a link may come again after the
        node that had it in hand was killed, with the same origin: kept beside an effect, it tells that this was done.
        """
        in_hand = self._incarnation.in_hand
        slot = in_hand[2] if isinstance(in_hand, tuple) else None
        return None if slot is None else slot.origin

    def send_after(self, delay_s: float, message: object) -> Timer:
        """Send `message` to oneself after `delay_s` seconds, also when the mailbox is full then.

        It is taken back when this incarnation ends, and by `cancel()` of what is returned.
        """
        return Delayed(self._incarnation, delay_s, message)

    def watch(self, ref: Ref) -> None:
        """Receive a `Down` each time an incarnation of that actor ends, until one with `final` or `unwatch`.

        It comes on the system lane, so it needs no room and overtakes messages. Where nobody is at `ref` (any more), a
        final one comes at once. It is not kept over a restart of the watcher: watch in `started`.
        """
        self._incarnation.child.watch(self._incarnation, ref)

    def unwatch(self, ref: Ref) -> None:
        """Receive no more of what `watch` asked for."""
        self._incarnation.child.unwatch(self._incarnation, ref)

    def stash(self) -> None:
        """Put the message in hand aside, unanswered, until `unstash` or the end of this incarnation.

        At most as many as the mailbox holds: beyond it `MailboxFull` is raised. Not for `receive_batch`.
        """
        self._incarnation.child.set_aside(self._incarnation)

    def unstash(self) -> None:
        """Put what was set aside before all other messages, in its old order."""
        stash, self._incarnation.stash = self._incarnation.stash, None
        if stash:
            self._incarnation.child.mailbox.put_back(stash)

    def stop(self) -> None:
        """End this incarnation after the message in hand, with the exit `Normal`."""
        self._incarnation.post(_DONE)


class Done(Stop):
    """On the lane: the actor itself wants to end."""


_DONE = Done(final=False)
