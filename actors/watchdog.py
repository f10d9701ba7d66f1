"""Says which code blocks the node's event loop, while it does.

Runs on the heartbeat's loop, in another thread. A loop that answers no ping for a second is blocked: its thread's
stack is logged once per blockage, with the job if an attempt's task is the one running.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback

from .node import NodeParts

PING_EVERY_S = 0.25
BLOCKED_AFTER_S = 1.0


class LoopWatch:
    """Watches one event loop from another thread."""

    def __init__(self, node: NodeParts, watched: asyncio.AbstractEventLoop) -> None:
        self._node = node
        self._watched = watched
        self._thread_id: int | None = None  # of the watched loop, learnt from its first answer
        self._answered_at = node.clock.monotonic()
        self._is_reported = False

    async def run(self) -> None:
        """Ping until cancelled."""
        clock = self._node.clock
        while not self._watched.is_closed():
            self._watched.call_soon_threadsafe(self._answer)
            await clock.sleep(PING_EVERY_S)
            silent_s = clock.monotonic() - self._answered_at
            if silent_s < BLOCKED_AFTER_S:
                self._is_reported = False
            elif not self._is_reported and self._thread_id is not None:
                self._is_reported = True
                self._report(silent_s)

    def _answer(self) -> None:
        self._thread_id = threading.get_ident()
        self._answered_at = self._node.clock.monotonic()

    def _report(self, silent_s: float) -> None:
        frame = sys._current_frames().get(self._thread_id or 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)"
        task = asyncio.current_task(self._watched)
        self._node.log.error(
            "the event loop is blocked; leases go on, other jobs wait",
            seconds=round(silent_s, 1),
            task=None if task is None else task.get_name(),
            stack=stack,
        )
