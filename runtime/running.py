"""A node process: runs a runtime until it is told to end."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..kernel.signals import handle_signals

if TYPE_CHECKING:
    from .runtime import Runtime

ABANDONED_EXIT_S = 0.2  # for logs to be written before a process with stuck threads ends


def run_node(
    runtime: Runtime, queues: Mapping[str, int] | Sequence[str] | None, ready_file: str | os.PathLike[str] | None
) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal interrupts the jobs."""
    _run(_serve(runtime, queues, None if ready_file is None else Path(ready_file)))
    if any(thread.name.startswith("AnyIO worker") and thread.is_alive() for thread in threading.enumerate()):
        # A handler's thread that was abandoned still runs. Python would wait for it at exit, for as long as it likes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _serve(runtime: Runtime, queues: Mapping[str, int] | Sequence[str] | None, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    hurry = asyncio.Event()
    with handle_signals(drain=stop.set, interrupt=hurry.set):  # until the drain is over
        async with runtime.work(queues, hurry=hurry):
            with _shown_ready(ready_file):
                await stop.wait()


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
