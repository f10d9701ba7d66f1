"""Time, as one small port: a node reads it here only, so that tests and simulations can own it.

Elapsed time is monotonic seconds; wall time is aware UTC, or integer milliseconds since the epoch where it is stored.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A callback that has been scheduled and can be taken back."""

    @abstractmethod
    def cancel(self) -> None:
        """Take the callback back; no effect once it ran."""


class Clock(Protocol):
    """Where a node's time comes from."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds since an arbitrary point, never going back; on one machine the same for every process."""

    @abstractmethod
    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""

    @abstractmethod
    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running event loop, not before `delay_s` seconds have passed."""

    def monotonic_reader(self) -> Callable[[], float]:
        """A function that gives what `monotonic` gives, for whoever calls it for every message."""
        return self.monotonic

    def wall_reader(self) -> Callable[[], int]:
        """Likewise for `wall_ms`."""
        return self.wall_ms

    def steady_reader(self) -> Callable[[], float]:
        """Likewise for seconds as those of `monotonic` that also pass while the machine sleeps, if they can be had."""
        return self.monotonic_reader()

    def now(self) -> datetime:
        """Wall time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.wall_ms() / 1000, UTC)

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds of this clock."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        due = asyncio.Event()
        timer = self.call_later(delay_s, due.set)
        try:
            await due.wait()
        finally:
            timer.cancel()

    async def wait(self, future: asyncio.Future[T], timeout_s: float | None) -> T:
        """What `future` gives; `TimeoutError` becomes its end when `timeout_s` seconds of this clock pass before."""
        timer = None if timeout_s is None else self.call_later(timeout_s, partial(_give_up, future))
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    async def limit(self, call: Awaitable[T], timeout_s: float) -> T:
        """What `call` gives; when `timeout_s` seconds pass before, it is cancelled and `TimeoutError` raised at once.

        A call that takes its time to heed that is not waited for. One that was given up from within counts as late.
        """
        task = asyncio.ensure_future(call)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task.add_done_callback(partial(_end, over))
        timer = self.call_later(timeout_s, partial(_give_up, over))
        try:
            await over
        except BaseException:
            task.cancel()
            raise
        finally:
            timer.cancel()
        if task.cancelled():
            raise TimeoutError
        return task.result()


def _end(over: asyncio.Future[None], task: asyncio.Future[T]) -> None:
    if not over.done():
        over.set_result(None)
    elif not task.cancelled():
        task.exception()  # of a call that was given up, and which nobody asks any more


def _give_up(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


class SystemClock(Clock):
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def monotonic_reader(self) -> Callable[[], float]:
        return time.monotonic

    def steady_reader(self) -> Callable[[], float]:
        # On Linux CLOCK_MONOTONIC leaves sleep out; on macOS it counts it, and `time.monotonic` does not.
        clock_id = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
        return time.monotonic if clock_id is None else partial(time.clock_gettime, clock_id)

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay_s, callback)


class ManualClock(Clock):
    """A clock that stands still until `advance` moves it; timers that fall due run in order of their time.

    Wall and monotonic time move together; `jump_wall` moves the wall clock alone, as a time server would.
    """

    def __init__(self, *, wall_ms: int = 1_700_000_000_000, monotonic: float = 1000.0) -> None:
        self._monotonic = monotonic
        self._ahead_ms = wall_ms - monotonic * 1000  # of the wall clock before the other
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def monotonic(self) -> float:
        return self._monotonic

    def wall_ms(self) -> int:
        # To the microsecond first: a second that was passed in many steps is still a second, and no less by a hair.
        return math.floor(round(self._ahead_ms + self._monotonic * 1000, 3))

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (self._monotonic + max(delay_s, 0.0), next(self._order), timer))
        return timer

    def jump_wall(self, seconds: float) -> None:
        """Move the wall clock alone; no timer fires."""
        self._ahead_ms += seconds * 1000

    def next_timer(self) -> float | None:
        """Seconds until the earliest timer that has not been cancelled, or None without one."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - self._monotonic, 0.0) if self._timers else None

    def advance(self, seconds: float) -> None:
        """Move both clocks forward, running each timer that falls due at its own time."""
        until = self._monotonic + seconds
        while (wait := self.next_timer()) is not None and self._monotonic + wait <= until:
            _, _, timer = heapq.heappop(self._timers)
            self._monotonic += wait
            timer.callback()
        self._monotonic = until


class _ManualTimer(Timer):
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
