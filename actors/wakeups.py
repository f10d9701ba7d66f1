"""The wake-ups of a node: who waits for what, told after each commit here and for each hint from elsewhere.

A wake-up is a hint. It may be lost or doubled, so whoever subscribes also looks by itself now and then.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.ref import Ref
from ..storage.messages import Committed
from ..storage.ports.wakeups import WakeupStore
from ..storage.records import Wakeup

ANNOUNCE_EVERY_S = 0.005  # one announcement to other processes in that time, however many commits


@dataclass(frozen=True, slots=True)
class Subscribe:
    """From now on tell `ref` the `message` at each wake-up of `topic`; an empty `queue` means every queue."""

    topic: str
    queue: str
    ref: Ref
    message: object


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Tell `ref` nothing any more."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Heard:
    """Hints from another process; none means: look everywhere."""

    wakeups: Collection[Wakeup]


@dataclass(frozen=True, slots=True)
class Announce:
    """The time has come to tell other processes what gathered."""


class Wakeups(Actor):
    """Passes hints on: what this node committed to its own subscribers and to others, what it heard to its own."""

    def __init__(self, store: WakeupStore) -> None:
        self._store = store
        self._subscriptions: list[Subscribe] = []
        self._gathered: set[Wakeup] = set()
        self._may_announce_at = 0.0

    async def started(self) -> None:
        me = self.context.ref()
        await self._store.listen(lambda wakeups: self._hear(me, wakeups))

    async def stopping(self, exit: object) -> None:
        if self._gathered:
            await self._store.announce(self._gathered)
        await self._store.close()

    def _hear(self, me: Ref, wakeups: Collection[Wakeup]) -> None:
        me.try_tell(Heard(wakeups))

    async def receive(self, message: Any) -> None:
        match message:
            case Committed(wakeups=wakeups, carried=carried):
                self._pass_on(wakeups)
                await self._gather(wakeups - carried)
            case Heard(wakeups=wakeups):
                self._pass_on(wakeups)
            case Subscribe():
                self._subscriptions = [s for s in self._subscriptions if (s.ref, s.topic, s.queue) != _key(message)]
                self._subscriptions.append(message)
            case Unsubscribe(ref=ref):
                self._subscriptions = [s for s in self._subscriptions if s.ref != ref]
            case Announce():
                await self._announce()

    def _pass_on(self, wakeups: Collection[Wakeup]) -> None:
        for subscription in self._subscriptions:
            is_meant = any(_concerns(subscription, wakeup) for wakeup in wakeups) if wakeups else None
            if is_meant or (is_meant is None and _may_be_vague(subscription)):
                subscription.ref.try_tell(subscription.message)

    async def _gather(self, wakeups: set[Wakeup]) -> None:
        is_waiting = bool(self._gathered)
        self._gathered |= wakeups
        if is_waiting or not wakeups:
            return
        wait_s = self._may_announce_at - self.context.clock.monotonic()
        if wait_s <= 0:
            await self._announce()
        else:
            self.context.send_after(wait_s, Announce())

    async def _announce(self) -> None:
        gathered, self._gathered = self._gathered, set()
        self._may_announce_at = self.context.clock.monotonic() + ANNOUNCE_EVERY_S
        if gathered:
            await self._store.announce(gathered)


def _key(subscription: Subscribe) -> tuple[Ref, str, str]:
    return subscription.ref, subscription.topic, subscription.queue


def _may_be_vague(subscription: Subscribe) -> bool:
    """Whether "look everywhere" means this one too; a dead node is always named as what it is."""
    return subscription.topic != "lost"


def _concerns(subscription: Subscribe, wakeup: Wakeup) -> bool:
    return subscription.topic == wakeup.topic and (
        not subscription.queue or not wakeup.queue or subscription.queue == wakeup.queue
    )
