"""One attempt while its node has it: the claimed job, its task, and who wants it to stop."""

from __future__ import annotations

import asyncio
from enum import Enum

from ..storage.job import Claimed


class Stop(Enum):
    """Why an attempt was told to stop; the first reason stands."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"  # asked for by a person or a program
    INTERRUPT = "interrupt"  # the node's grace is over: the job goes back unharmed
    LEASE_LOST = "lease lost"  # somebody else may run it: nothing may be written


class Attempt:
    """Mutable, owned by the worker on its event loop; `stop` is read from handler threads too."""

    __slots__ = (
        "deadline",
        "has_begun",
        "is_completing",
        "is_in_thread",
        "is_over",
        "is_shutting_down",
        "job",
        "started_at",
        "stop",
        "stopped_at",
        "task",
        "thread_runs",
    )

    def __init__(self, job: Claimed, started_at: float, is_shutting_down: bool) -> None:
        self.job = job
        self.started_at = started_at  # monotonic seconds
        self.deadline: float | None = None  # monotonic seconds
        self.task: asyncio.Task[None] | None = None
        self.has_begun = False  # a task that is cancelled before its first step takes none
        self.stop: Stop | None = None
        self.stopped_at = 0.0
        self.is_over = False  # judged, and its slot given back or set aside
        self.is_completing = False  # its end was written in a transaction of the handler's own
        self.is_in_thread = False  # cannot be cancelled from outside
        self.thread_runs = False  # its handler's thread has not ended yet
        self.is_shutting_down = is_shutting_down
