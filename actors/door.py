"""Lets messages from other nodes in: an endpoint of the link, served for as long as the actor lives."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..kernel.transport.port import Inbox, Link
from .side_tasks import Broken, SideTasks

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LEAVE_S = 0.5  # that a link may take to be told that the door closes


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A later incarnation serves the endpoint."""


class Door(Actor):
    """Serves `endpoint`. A link that does not answer is tried again, with a pause that grows; one by which another has
    come to serve the endpoint is asked for it again, and says why not."""

    def __init__(self, endpoint: str, *, link: Link, incarnation: int) -> None:
        self._endpoint = endpoint
        self._link = link
        self._incarnation = incarnation

    async def started(self) -> None:
        self._tasks = SideTasks(self.context.ref())
        self._opening = self._tasks.spawn(self._open())

    async def stopping(self, exit: object) -> None:
        self._opening.cancel()
        await asyncio.wait([self._opening])
        with suppress(CallboardError, OSError, TimeoutError):
            await self.context.clock.limit(self._link.leave(self._endpoint), LEAVE_S)

    async def receive(self, message: Any) -> None:
        if isinstance(message, Broken):
            raise message.error
        if isinstance(message, Overtaken) and self.is_wanted:
            self._opening = self._tasks.spawn(self._open())

    async def _open(self) -> None:
        pause_s = FIRST_PAUSE_S
        me = self.context.ref()
        while True:
            try:
                await self._link.serve(
                    self._endpoint,
                    self.inbox,
                    incarnation=self._incarnation,
                    overtaken=lambda: me.try_tell(Overtaken()),
                )
            except (CallboardError, OSError, TimeoutError) as error:
                self.refused(error)
                await self.context.clock.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                return

    @abstractmethod
    def inbox(self, path: str) -> Inbox:
        """Where messages to `path` below the endpoint go in."""

    @property
    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether there is still something to let messages in to."""

    @abstractmethod
    def refused(self, error: Exception) -> None:
        """The link did not open the door; it is tried again unless this raises."""
