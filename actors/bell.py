"""Rings at the wake-ups of one topic, for those outside the actors who wait for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..kernel.actor import Actor
from .wakeups import Subscribe


@dataclass(frozen=True, slots=True)
class Ring:
    """Something happened."""


class Bell(Actor):
    """Calls `ring` at each wake-up of `topic`."""

    def __init__(self, topic: str, ring: Callable[[], object]) -> None:
        self._topic = topic
        self._ring = ring

    async def started(self) -> None:
        await self.context.ref("wakeups").tell(Subscribe(self._topic, "", self.context.ref(), Ring()))

    async def receive(self, message: object) -> None:
        self._ring()
