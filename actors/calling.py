"""Calls handlers that do not run on the event loop: in a thread, or in a process."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from ..kernel.signals import HANDLED
from .attempt import Attempt
from .definition import JobDefinition, define, import_function
from .node import NodeParts

if TYPE_CHECKING:
    from .worker import Worker

# The worker's slots are the limit; anyio's own would hold handlers back at 40 threads and at the number of cores.
_unlimited: RunVar[CapacityLimiter] = RunVar("callboard_unlimited")
_WATCH = "callboard parent watch"  # a thread of a handler's process
_LOOK_AT_PARENT_S = 0.5


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

    return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=_limiter())


async def call_in_process(definition: JobDefinition, payload: bytes, node: NodeParts) -> Any:
    """The handler's value, from a process of its own; cancelled, that process is killed.

    Only names and encoded bytes go to the process: it imports the handler itself. Raises what the handler raised, with
    its traceback as a note, or `BrokenWorkerProcess` if the process died.
    """
    if not node.runs_threads:
        args, kwargs = definition.decode_call(payload)
        return definition.fn(*args, **kwargs)
    from anyio import to_process  # late: 0.1 s of CPU that a node without such handlers need not spend at its start

    encoded = await to_process.run_sync(
        partial(_run_here, definition.handler().reference, payload, os.getpid()), cancellable=True, limiter=_limiter()
    )
    return definition.decode_result(encoded)


def _run_here(reference: str, payload: bytes, parent: int) -> bytes:
    """In the child: import the handler, run it, encode what it gives."""
    _end_with(parent)
    definition = define(import_function(reference), process=True)
    args, kwargs = definition.decode_call(payload)
    try:
        return definition.encode_result(definition.fn(*args, **kwargs))
    except Exception as error:
        error.add_note("In the handler's process:\n" + traceback.format_exc())
        raise


def _end_with(parent: int) -> None:
    """See to it, once for this process, that it ends when its node says so or has ended, and not otherwise.

    A signal for the whole group (Ctrl-C, a service manager) drains the node, which gives its handlers their grace. A
    node that was killed must leave nothing running: what runs here is another node's by then, and the pipe that would
    tell is looked at between two calls only.
    """
    if any(thread.name == _WATCH for thread in threading.enumerate()):
        return

    def watch() -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(_LOOK_AT_PARENT_S)
        os._exit(1)

    for number in HANDLED:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which what a handler starts would inherit
    threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def _limiter() -> CapacityLimiter:
    try:
        return _unlimited.get()
    except LookupError:
        limiter = CapacityLimiter(math.inf)
        _unlimited.set(limiter)
        return limiter
