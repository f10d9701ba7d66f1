"""Waits for jobs to end, for all who wait in this process: one look at the store for every one of them together.

Whoever waits has its job looked up first, so an end that came before is found; then at each hint that jobs ended, and
now and then without a hint, since hints may be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.clock import Timer
from ..storage.errors import StorageError
from ..storage.job import Job
from ..storage.ports.jobs import JobStore
from .wakeups import Subscribe, Unsubscribe

FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 1.0
PAGE = 500


@dataclass(frozen=True, slots=True, eq=False)
class Await:
    """Give `end` the job once it is terminal, or None if there is no such job."""

    job_id: bytes
    end: asyncio.Future[Job | None]


@dataclass(frozen=True, slots=True)
class Look:
    """Jobs may have ended."""


class NotWaiting(Exception):
    """The actor ended before the job did: ask again."""


class Results(Actor):
    """Resolves futures of those who wait for a job's end."""

    max_batch = 1024

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waiting: dict[bytes, list[asyncio.Future[Job | None]]] = {}
        self._timer: Timer | None = None
        self._pause_s = FIRST_LOOK_S
        self._is_subscribed = False

    async def stopping(self, exit: object) -> None:
        for end in (end for ends in self._waiting.values() for end in ends if not end.done()):
            end.set_exception(NotWaiting())

    async def receive_batch(self, messages: Sequence[Any]) -> list[None]:
        fresh: dict[bytes, None] = {}  # no set: whoever waits is answered in one order, in simulations too
        is_hinted = False
        for message in messages:
            match message:
                case Await(job_id=job_id, end=end):
                    self._waiting.setdefault(job_id, []).append(end)
                    fresh[job_id] = None
                case Look():
                    is_hinted = True
        await self._subscribe()
        if fresh:
            self._pause_s = FIRST_LOOK_S
        await self._look(list(self._waiting) if is_hinted else list(fresh))
        await self._sleep()
        return [None] * len(messages)

    async def _look(self, job_ids: list[bytes]) -> None:
        for start in range(0, len(job_ids), PAGE):
            page = [job_id for job_id in job_ids[start : start + PAGE] if self._is_awaited(job_id)]
            try:
                jobs = await self._store.get(page)
            except StorageError:
                return  # the next look may do better; whoever waits has a timeout of its own
            for job_id, job in zip(page, jobs, strict=True):
                if job is None or job.state.is_terminal:
                    for end in self._waiting.pop(job_id, ()):
                        if not end.done():
                            end.set_result(job)

    def _is_awaited(self, job_id: bytes) -> bool:
        ends = self._waiting.get(job_id, [])
        if any(not end.done() for end in ends):
            return True
        self._waiting.pop(job_id, None)
        return False

    async def _subscribe(self) -> None:
        """Ask for hints only while somebody waits: a node that only works need not hear of every end."""
        if bool(self._waiting) == self._is_subscribed:
            return
        self._is_subscribed = not self._is_subscribed
        wakeups, me = self.context.ref("wakeups"), self.context.ref()
        await wakeups.tell(Subscribe("finished", "", me, Look()) if self._is_subscribed else Unsubscribe(me))

    async def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = self.context.send_after(self._pause_s, Look())
            self._pause_s = min(self._pause_s * 1.5, LONGEST_LOOK_S)
        else:
            await self._subscribe()
