"""Calls handlers that do not run on the event loop, in a thread. For those in a process see `processes.py`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from .attempt import Attempt
from .definition import JobDefinition
from .node import NodeParts

if TYPE_CHECKING:
    from .worker import Worker

# The worker's slots are the limit; anyio's own would hold handlers back at 40 threads and at the number of cores.
_unlimited: RunVar[CapacityLimiter] = RunVar("callboard_unlimited")


async def call_in_thread(
    attempt: Attempt,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    worker: Worker,
    node: NodeParts,
) -> Any:
    """The function's value. Cancelled, it leaves the thread running; the worker is told when that ends."""
    if not node.runs_threads:
        return fn(*args, **kwargs)
    loop = asyncio.get_running_loop()
    attempt.is_in_thread = attempt.thread_runs = True

    def run() -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(worker.thread_ended, attempt)

    return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=unlimited())


async def load_handler(definition: JobDefinition, node: NodeParts) -> None:
    """Import a handler that was given by name, in a thread: a module may take seconds, and other jobs run meanwhile.

    Raises as `JobDefinition.handler`.
    """
    if node.runs_threads:
        await to_thread.run_sync(definition.handler, abandon_on_cancel=True, limiter=unlimited())
    else:
        definition.handler()


def unlimited() -> CapacityLimiter:
    """The limiter of this event loop's threads that run handlers: none."""
    try:
        return _unlimited.get()
    except LookupError:
        limiter = CapacityLimiter(math.inf)
        _unlimited.set(limiter)
        return limiter
