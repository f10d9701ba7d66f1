"""The demo's node processes: started, watched, killed, drained.

Ctrl-C in a terminal reaches the demo alone, which then drains its nodes. They are tethered to it (`runtime/tether.py`):
a node drains when it is let go of, so it also stops when the demo itself was killed, and is never left behind.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...kernel.errors import CallboardError
from ..tether import Tethered

_LOG_READ_BYTES = 4000


class NodeFailed(CallboardError):
    """Node processes end without being asked to, one after the other; the text says what the last one wrote."""


class NodeProcess(Tethered):
    """One process that works on the store. It may be killed at any time: the store is what counts."""

    def __init__(self, number: int, *, store: str, queue: str, slots: int, folder: Path) -> None:
        self.number = number
        self._log_file = folder / f"node-{number}.log"
        ready_file = folder / f"node-{number}.ready"
        arguments = ["-m", "callboard.runtime.demo.node", queue, str(slots), str(ready_file)]
        with self._log_file.open("wb") as log:
            super().__init__(
                [sys.executable, *arguments],
                ready_file=ready_file,
                stdout=log,
                stderr=log,
                env={**os.environ, "CALLBOARD_STORE": store},  # an argument would show a password to everybody
            )

    def last_words(self) -> str:
        """The last line that the process wrote, for a person."""
        with self._log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_READ_BYTES))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


class Crew:
    """The demo's nodes: as many as asked for, and another in the place of each that ended."""

    def __init__(self, *, size: int, store: str, queue: str, slots: int, folder: Path) -> None:
        self.size = size
        self._store = store
        self._queue = queue
        self._slots = slots
        self._folder = folder
        self._started = 0
        self._lost = 0
        self.nodes: list[NodeProcess] = []

    def fill(self) -> None:
        """Start nodes until there are enough; raises `NodeFailed` once more have ended by themselves than there are."""
        for node in [node for node in self.nodes if not node.is_running]:
            self.nodes.remove(node)
            self._lost += 1
            if self._lost > self.size:
                raise NodeFailed(f"node {node.number} ended by itself: {node.last_words()}")
        while len(self.nodes) < self.size:
            self._started += 1
            self.nodes.append(
                NodeProcess(self._started, store=self._store, queue=self._queue, slots=self._slots, folder=self._folder)
            )

    @property
    def ready(self) -> list[NodeProcess]:
        """The nodes that claim jobs now."""
        return [node for node in self.nodes if node.is_ready]

    def kill_one(self) -> NodeProcess | None:
        """Kill the node that has been ready longest, if there is one; `fill` puts another in its place."""
        ready = self.ready
        if not ready:
            return None
        ready[0].kill()
        self.nodes.remove(ready[0])
        return ready[0]

    def interrupt(self) -> None:
        """Hurry nodes that drain."""
        for node in self.nodes:
            node.interrupt()

    def stop(self, within_s: float) -> None:
        """Drain all nodes at once and wait until they have ended, killing those that take longer."""
        for node in self.nodes:
            node.cut()
        for node in self.nodes:
            node.wait(within_s)
        self.nodes.clear()
