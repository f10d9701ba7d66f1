"""Tasks beside an actor, for what takes long while messages go on; what one of them raises is the actor's crash."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from ..kernel.ref import Ref

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Broken:
    """A task raised. Whoever owns it raises that too."""

    error: BaseException


class SideTasks:
    """The tasks of the actor at `owner`."""

    def __init__(self, owner: Ref) -> None:
        self._owner = owner
        self._tasks: dict[asyncio.Task[Any], None] = {}  # no set: simulations need its order

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """End all of them."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._owner.try_tell(Broken(error))
