"""A node of the link in a process of its own.

program.py receive URL NAMESPACE INCARNATION FILE     writes what it handles to FILE, once by its origin
program.py send URL NAMESPACE COUNT PARTS FOLDER      sends numbers, each part when FOLDER/part-N is there
program.py flood URL NAMESPACE MOST                   sends until nothing is taken; says how its memory grew
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import uuid
from pathlib import Path

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import SystemClock
from callboard.kernel.errors import MailboxFull
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.transport.redis_streams import RedisLink
from tests.support.eventually import eventually

READY_FILE = "NODE_READY_FILE"
PAGE = os.sysconf("SC_PAGE_SIZE")


class Writer(Actor):
    """Its effect is a line in a file: what survives its own end and that of its process."""

    def __init__(self, path: str) -> None:
        self._done: dict[str, int] = {}
        if Path(path).exists():
            for line in Path(path).read_text().splitlines():
                sender, number, _ = line.split()
                self._done[sender] = int(number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def receive(self, message: object) -> object:
        assert self.context.origin is not None
        sender, number = self.context.origin
        if number > self._done.get(sender, 0):
            os.write(self._file, f"{sender} {number} {message}\n".encode())
            self._done[sender] = number
        return message

    async def stopping(self, exit: object) -> None:
        os.close(self._file)


def link_to(url: str, namespace: str) -> RedisLink:
    return RedisLink(url, namespace=namespace, node=uuid.uuid4().hex, clock=SystemClock(), rng=random.Random())


async def receive(url: str, namespace: str, incarnation: str, path: str) -> None:
    link = link_to(url, namespace)
    await link.open()
    async with Supervisor([ChildSpec(Writer, id="writer", args=(path,))]) as root:
        await link.serve("writer", lambda _: root.ref("writer").inbox, incarnation=int(incarnation))
        ready()
        await asyncio.Event().wait()


async def send(url: str, namespace: str, count: str, parts: str, folder: str) -> None:
    link = link_to(url, namespace)
    await link.open()
    ready()
    inbox = link.inbox("writer")
    size = int(count) // int(parts)
    for part in range(int(parts)):
        await eventually((Path(folder) / f"part-{part}").exists, within_s=60.0)
        for number in range(part * size, (part + 1) * size):
            if not inbox.offer(number):
                await inbox.tell(number, None)
    assert await inbox.ask("last", 60.0) == "last"
    await link.close()


async def flood(url: str, namespace: str, most: str) -> None:
    link = link_to(url, namespace)
    await link.open()
    inbox = link.inbox("writer")
    message = "x" * 1000
    for _ in range(1000):
        await inbox.tell(message, None)
    before, sent = resident(), 1000
    try:
        while sent < int(most):
            await inbox.tell(message, 1.0)
            sent += 1
    except MailboxFull:
        pass
    print(json.dumps({"sent": sent, "grown": resident() - before}))
    os._exit(0)  # what waits is not to be sent


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def ready() -> None:
    Path(os.environ[READY_FILE]).touch()


def main() -> None:
    what, *arguments = sys.argv[1:]
    call = {"receive": receive, "send": send, "flood": flood}[what](*arguments)  # type: ignore[operator]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(call)


if __name__ == "__main__":
    main()
