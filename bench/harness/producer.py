"""Enqueues numbered jobs, and keeps what it was told of each batch."""

from __future__ import annotations

import asyncio
import random

from callboard import CallboardError, Runtime
from callboard.kernel.errors import ActorStopped, AskTimeout, MailboxFull
from callboard.storage.errors import StorageError, Unavailable

from .verdict import Enqueues

PATIENCE_S = 1.0  # then the producer goes on without an answer, as a web request would


class Producer:
    """Batches of one job, `name`, by whichever runtime."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self._name = name
        self._rng = rng
        self._next = 0
        self._acknowledged: list[list[int]] = []
        self._refused: list[list[int]] = []
        self._unknown: list[list[int]] = []

    @property
    def enqueues(self) -> Enqueues:
        """All batches so far."""
        return Enqueues(self._acknowledged, self._refused, self._unknown)

    @property
    def unknown(self) -> int:
        """Jobs of which nobody said whether they are stored."""
        return sum(map(len, self._unknown))

    @property
    def refused(self) -> int:
        """Jobs that were refused."""
        return sum(map(len, self._refused))

    async def at_once(self, runtime: Runtime, count: int, *, batch: int = 1000) -> None:
        """Enqueue `count` jobs as fast as they are taken, with all the patience that it needs."""
        while count > 0:
            await self._enqueue(runtime, min(batch, count), None)
            count -= batch

    async def over(self, runtime: Runtime, count: int, seconds: float) -> None:
        """Enqueue `count` jobs in batches of any size up to 40, spread over that time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while sent < count:
            batch = min(self._rng.choice((1, 1, 2, 5, 10, 20, 40)), count - sent)
            sent += batch
            await self._enqueue(runtime, batch, PATIENCE_S)
            await asyncio.sleep(max(began + seconds * sent / count - loop.time(), 0.0))

    async def _enqueue(self, runtime: Runtime, count: int, patience_s: float | None) -> None:
        numbers = list(range(self._next, self._next + count))
        self._next += count
        job = runtime.jobs[self._name]
        try:
            async with asyncio.timeout(patience_s):
                await runtime.enqueue_many([job.bind(number) for number in numbers])
        except (TimeoutError, CallboardError) as error:
            (self._refused if _was_refused(error) else self._unknown).append(numbers)
        else:
            self._acknowledged.append(numbers)


def _was_refused(error: Exception) -> bool:
    """Whether the error promises that nothing was written, and nothing will be."""
    if isinstance(error, AskTimeout):
        return error.outcome == "not_delivered"
    if isinstance(error, StorageError):
        return not isinstance(error, Unavailable)
    return isinstance(error, ActorStopped | MailboxFull)
