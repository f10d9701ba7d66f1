"""A node with one singleton, which notes when it leads, and which may go on writing in its term for too long.

    leading_node.py [WRITES]

Records go to the file that NODE_RECORDS names: "leads" and "left" with the term's number as token; and with WRITES,
"accepted" and "refused" for each try to enqueue a job because of the term, until so many were refused. What writes is a
task that the actor leaves behind, and it asks nobody whether the term may still be trusted; whether it could is noted
as "trusted" or "doubted" beside each try.
"""

from __future__ import annotations

import asyncio
import os
import sys

from callboard import Actor, AskTimeout, ChildSpec, Runtime
from callboard.storage.errors import TermOver, Unavailable
from callboard.storage.role import Term
from harness.processes import READY_FILE
from harness.records import EffectLog

NAME = "scribe"
PAUSE_S = 0.02  # between two writes

LOG = EffectLog(os.environ["NODE_RECORDS"])
runtime = Runtime(link=os.environ.get("NODE_LINK") or None)
left_behind: list[asyncio.Task[None]] = []


@runtime.job(queue="kept")
async def written(number: int) -> None:
    """Stays where it is: no node works on its queue."""


class Scribe(Actor):
    """Leads, and says so."""

    def __init__(self, writes: int) -> None:
        self._writes = writes

    async def started(self) -> None:
        self._term = runtime.term()
        LOG.write("leads", NAME, self._term.number, 0)
        if self._writes:
            left_behind.append(asyncio.create_task(write(self._term, self._writes)))

    async def stopping(self, exit: object) -> None:
        LOG.write("left", NAME, self._term.number, 0)

    async def receive(self, message: object) -> object:
        return [self._term.number, os.getpid()]


async def write(term: Term, writes: int) -> None:
    """Write because of that term until the store has refused it that often."""
    refused = 0
    while refused < writes:
        try:
            LOG.write("trusted" if runtime.term() == term else "wrong", NAME, term.number, 0)
        except TermOver:
            LOG.write("doubted", NAME, term.number, 0)
        try:
            await written.options(fence=term).enqueue(term.number)
        except TermOver:
            refused += 1
            LOG.write("refused", NAME, term.number, 0)
        except (AskTimeout, Unavailable) as error:  # it stood still for longer than it, or its store, would have waited
            print(f"a try to write in term {term.number}: {error}", file=sys.stderr, flush=True)
            LOG.write("unknown", NAME, term.number, 0)
        else:
            LOG.write("accepted", NAME, term.number, 0)
            await asyncio.sleep(PAUSE_S)


def main() -> None:
    writes = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    runtime.singleton(ChildSpec(Scribe, id=NAME, args=(writes,)))
    runtime.run({"default": 1}, ready_file=os.environ[READY_FILE])


if __name__ == "__main__":
    main()
