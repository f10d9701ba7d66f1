"""The wall clock of a store on a server, as this process knows it, so that only that clock counts on all nodes.

Model. A reply that tells the server's time was written between the question and the answer, so half the round trip
bounds how wrong its reading is. From then on our own steady clock counts: no jump of this machine's wall clock moves
anything. The least uncertain reading stands; its uncertainty grows with its age, at the worst pace at which two good
quartzes part, so that younger ones take over. One that contradicts it takes over at once: a clock was set, or another
server answers under the same name.

A heartbeat tells the time with each renewal. A process without one (it enqueues, it waits) asks with a call that it
makes anyway, once what it knows is half a minute old. Before the first reading it is the process's own clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeVar

from ..kernel.clock import Clock, Timer

T = TypeVar("T")

PARTING = 1e-4  # seconds in a second by which two clocks part, at most
FRESH_S = 30.0


class Reading(NamedTuple):
    """What one reply told. Times are milliseconds."""

    ahead: float  # the store's wall clock before our steady one
    doubt: float  # by which that may be wrong
    at: float  # on our steady clock


def read(store: float, asked: float, answered: float) -> Reading:
    """The reading of a reply in which the store said `store`."""
    return Reading(store - (asked + answered) / 2, (answered - asked) / 2, answered)


def better(known: Reading | None, fresh: Reading) -> Reading:
    """Which of the two to go by now."""
    if known is None:
        return fresh
    doubt = known.doubt + (fresh.at - known.at) * PARTING
    contradicts = abs(fresh.ahead - known.ahead) > doubt + fresh.doubt
    return fresh if contradicts or fresh.doubt <= doubt else known


class StoreTime:
    """Shared by all that one handle does, the heartbeat in its thread included."""

    def __init__(self, own: Clock) -> None:
        self.own = own
        self._steady = own.steady_reader()
        self._reading: Reading | None = None
        self._asked_at = -inf

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC, by the store's clock."""
        reading = self._reading
        return self.own.wall_ms() if reading is None else int(reading.ahead + self._steady() * 1000)

    @property
    def is_due(self) -> bool:
        """Whether to ask the store for its time."""
        return self._steady() - self._asked_at > FRESH_S

    def doubt(self) -> None:
        """Ask soon: a new connection may lead to another server."""
        self._asked_at = -inf

    def asks(self) -> float:
        """The moment just before a question, for `told`."""
        self._asked_at = self._steady()
        return self._asked_at

    def told(self, store_ms: float, asked: float) -> None:
        """The answer has just come, in which the store said `store_ms`."""
        self._reading = better(self._reading, read(store_ms, asked * 1000, self._steady() * 1000))


class StoreClock(Clock):
    """A process's clock with the wall time of a store; all else is its own."""

    def __init__(self, own: Clock, wall_ms: Callable[[], int]) -> None:
        self._own = own
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        return self._own.monotonic()

    def monotonic_reader(self) -> Callable[[], float]:
        return self._own.monotonic_reader()

    def wall_reader(self) -> Callable[[], int]:
        return self._wall_ms

    def steady_reader(self) -> Callable[[], float]:
        return self._own.steady_reader()

    def wall_ms(self) -> int:
        return self._wall_ms()

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return self._own.call_later(delay_s, callback)

    async def sleep(self, delay_s: float) -> None:
        await self._own.sleep(delay_s)

    async def wait(self, future: asyncio.Future[T], timeout_s: float | None) -> T:
        return await self._own.wait(future, timeout_s)
