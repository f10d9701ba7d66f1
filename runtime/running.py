"""A node process: runs a runtime until it is told to end."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..actors.node_log import NodeLog
from ..kernel.signals import handle_signals
from ..storage.shown import without_password
from .patience import Interruptible, patiently

if TYPE_CHECKING:
    from .runtime import Runtime

LAST_CHANCE_S = 0.2  # for tasks that were left behind to end, once nothing else of the node runs


def run_node(
    runtime: Runtime,
    queues: Mapping[str, int] | Sequence[str] | None,
    ready_file: str | os.PathLike[str] | None,
    wait_s: float,
) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal interrupts the jobs."""
    tune_interpreter()
    _run(_serve(runtime, queues, None if ready_file is None else Path(ready_file), wait_s))
    if any(thread.name.startswith("AnyIO worker") and thread.is_alive() for thread in threading.enumerate()):
        _exit_now()  # a handler's thread that was abandoned still runs: Python would wait for it at exit


def tune_interpreter() -> None:
    """Set up Python for a process that is all ours.

    The collector looks less often: jobs leave few cycles, and at Python's own thresholds it took a fifth of a drain's
    CPU; what was imported is not looked at again. Threads get their turn after 0.5 ms instead of 5: a store's thread
    that comes back from the database waits that long for a busy event loop, once for each statement.
    """
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _serve(
    runtime: Runtime, queues: Mapping[str, int] | Sequence[str] | None, ready_file: Path | None, wait_s: float
) -> None:
    stop = asyncio.Event()
    hurry = asyncio.Event()
    opening = Interruptible()

    def drain() -> None:
        stop.set()
        opening.interrupt()

    with handle_signals(drain=drain, interrupt=hurry.set):  # until the drain is over
        async with AsyncExitStack() as opened:
            with opening:
                await patiently(lambda: opened.enter_async_context(runtime), wait_s=wait_s, tell=_tell)
            if opening.was_interrupted:
                return
            async with runtime.work(queues, hurry=hurry) as node:
                node.parts.log.info(
                    "node starts", jobs=len(runtime.jobs), store=without_password(runtime.store_url), pid=os.getpid()
                )
                with _shown_ready(ready_file):
                    await _first(stop, node.drain_asked)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=LAST_CHANCE_S))[1]:
        _exit_now()  # a handler swallows its cancellation: the loop would wait for it at its own end


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _tell(line: str) -> None:
    NodeLog("callboard.node").warning(line)


def _exit_now() -> None:
    """End the process: the drain is over, and what still runs would hold it up for as long as it likes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def _shown_ready(ready_file: Path | None) -> Iterator[None]:
    """The file is there within the block."""
    if ready_file is None:
        yield
        return
    ready_file.touch()
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)


def _run(main: object) -> None:
    if sys.platform == "win32":
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        import uvloop

        uvloop.run(main)  # type: ignore[arg-type]
