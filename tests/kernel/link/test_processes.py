"""A link between processes, while its server and its receiver go down, and while its receiver is slow."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from callboard.kernel.child import ChildSpec
from harness.processes import Proc
from tests.kernel.link.nodes import GATES, Book, Nodes
from tests.support.eventually import eventually, eventually_sync
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisServer

PROGRAM = Path(__file__).with_name("program.py")
MESSAGES = 100_000
PARTS = 10
RESTARTS = 5


@pytest.fixture
def server() -> Iterator[RedisServer]:
    path = servers.binary()
    if path is None:
        pytest.skip(servers.missing() or "CALLBOARD_TEST_REDIS names a server that a test must not restart")
    server = RedisServer(path)
    server.start()
    yield server
    server.remove()


class Stage:
    """Processes that end with the test."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.processes: list[Proc] = []

    def start(self, *arguments: object) -> Proc:
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        process = Proc(
            command,
            os.environ | {"PYTHONPATH": str(PROGRAM.parents[3])},
            self.scratch,
            f"{arguments[0]}-{len(self.processes)}",
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.end()


def test_each_message_is_handled_once_and_in_order_while_server_and_receiver_go_down(
    server: RedisServer, stage: Stage, tmp_path: Path
) -> None:
    namespace, effects = f"t{uuid.uuid4().hex}", tmp_path / "effects"
    size = MESSAGES // PARTS

    def receiver(incarnation: int) -> Proc:
        return stage.start("receive", server.at.url, namespace, incarnation, effects).wait_ready()

    def has_arrived(count: int) -> bool:
        return effects.read_bytes().count(b"\n") > count

    receiving = receiver(1)
    sending = stage.start("send", server.at.url, namespace, MESSAGES, PARTS, tmp_path).wait_ready()
    restarts = kills = 0
    for part in range(PARTS):
        (tmp_path / f"part-{part}").touch()
        eventually_sync(partial(has_arrived, part * size + size // 3), within_s=30.0)
        if part % 2 == 0:
            server.stop()
            server.start()
            restarts += 1
        elif part % 4 == 1:
            receiving.signal(signal.SIGKILL)
            receiving.wait()
            kills += 1
            receiving = receiver(kills + 1)
    assert sending.wait(60.0) == 0, sending.tail()

    assert restarts == RESTARTS
    assert kills == 3
    by_sender: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in effects.read_text().splitlines():
        sender, number, message = line.split()
        by_sender[sender].append((int(number), message))
    (found,) = by_sender.values()
    assert [message for _, message in found] == [*map(str, range(MESSAGES)), "last"]
    assert [number for number, _ in found] == list(range(1, MESSAGES + 2))


@pytest.mark.anyio
async def test_a_slow_receiver_bounds_the_memory_of_its_sender(nodes: Nodes, stage: Stage) -> None:
    GATES["slow"] = asyncio.Event()
    receiver = await nodes.start([ChildSpec(Book, id="book")])
    await receiver.serve("writer", "book")
    await (await nodes.start()).ref("writer").tell(("wait", "slow"))

    sending = stage.start("flood", nodes.at.url, nodes.namespace, 200_000)
    await eventually(lambda: sending.exit_code is not None, within_s=40.0)

    assert sending.exit_code == 0, sending.tail()
    found = json.loads(sending.tail())
    assert found["sent"] < 200_000
    assert found["grown"] < 20_000_000
