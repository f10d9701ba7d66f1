"""A node process for parked.py, and for the test that doctor names the queue: the dispatcher of one queue crashes.

    parked_node.py QUEUE=SLOTS ...

Its handlers do nothing. The dispatcher of the queue that NODE_BROKEN names crashes at each message.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from callboard import Runtime
from callboard.actors.dispatcher import Dispatcher
from callboard.runtime import tree
from harness.processes import READY_FILE


class Crashing(Dispatcher):
    """Crashes for ever, where it serves that queue."""

    async def receive_batch(self, messages: Sequence[Any]) -> list[Any]:
        if self._queue == os.environ.get("NODE_BROKEN"):
            raise RuntimeError("made to crash")
        return await super().receive_batch(messages)


def main() -> None:
    """Run until a signal."""
    logging.basicConfig(level=logging.INFO)  # every crash is written with its traceback, as a real node's is
    tree.Dispatcher = Crashing  # type: ignore[attr-defined]
    runtime = Runtime()

    @runtime.job
    async def nothing(number: int) -> int:
        return number

    queues = {name: int(slots) for name, slots in (argument.split("=") for argument in sys.argv[1:])}
    runtime.run(queues, ready_file=os.environ[READY_FILE])


if __name__ == "__main__":
    main()
