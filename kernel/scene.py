"""Who is acting: which incarnation runs in the current task. It lets an ask carry its call chain."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextvars import ContextVar
from typing import Protocol


class Acting(Protocol):
    """What others need to know of the incarnation that acts."""

    path: str
    task: asyncio.Task[object] | None

    @abstractmethod
    def chain(self) -> tuple[str, ...]:
        """Who waits for the message in hand, the first asker first, and the actor itself last."""


acting: ContextVar[Acting | None] = ContextVar("callboard_acting", default=None)


def caller() -> Acting | None:
    """The incarnation whose own task runs now, or None.

    A task that a handler started is not its actor: the actor does not wait for it (as far as anyone can know), so what
    such a task asks cannot close a cycle.
    """
    found = acting.get()
    return found if found is not None and found.task is asyncio.current_task() else None
