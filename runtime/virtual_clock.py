"""The clock of `runtime.testing()`: it stands still until the test moves it, and knows who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import TypeVar

from ..actors.context import current_attempt
from ..kernel.clock import ManualClock

T = TypeVar("T")


class VirtualClock(ManualClock):
    """A `ManualClock` that lists its waits, each with the attempt that waits, if it is one."""

    def __init__(self, *, wall_ms: int) -> None:
        super().__init__(wall_ms=wall_ms)
        self._waits: dict[object, tuple[float, bytes | None]] = {}  # when it ends, the job that waits

    async def sleep(self, delay_s: float) -> None:
        with self._waiting(delay_s):
            await super().sleep(delay_s)

    async def wait(self, future: asyncio.Future[T], timeout_s: float | None) -> T:
        with self._waiting(inf if timeout_s is None else timeout_s):
            return await super().wait(future, timeout_s)

    def asleep(self) -> set[bytes]:
        """The jobs whose attempts wait for this clock, or for another job to end."""
        return {job_id for _, job_id in self._waits.values() if job_id is not None}

    def next_end(self) -> float:
        """When the first of the waits ends that has not ended yet; infinity without one."""
        now = self.monotonic()
        return min((ends for ends, _ in self._waits.values() if ends > now), default=inf)

    @contextmanager
    def _waiting(self, delay_s: float) -> Iterator[None]:
        ctx = current_attempt.get()
        token = object()
        self._waits[token] = (self.monotonic() + delay_s, None if ctx is None else ctx.job_id)
        try:
            yield
        finally:
            del self._waits[token]
