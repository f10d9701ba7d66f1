"""Wake-ups between processes: a datagram each, and looking underneath. The port's own tests are in the contract."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock, SystemClock
from callboard.storage.job import NewJob
from callboard.storage.records import Wakeup
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.wakeups import SqliteWakeups
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands

from .conftest import Opener

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no datagram sockets between processes")

WORK = Wakeup("work", "mail")

ANNOUNCES = """
import asyncio, sys
from callboard.kernel.clock import SystemClock
from callboard.storage.records import Wakeup
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.wakeups import SqliteWakeups

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock(), reserve_bytes=0)
    await store.open()
    await store.wakeups.announce([Wakeup("work", "mail"), Wakeup("finished", "brève\\n")])
    await store.close()

asyncio.run(main())
"""


class Heard:
    """What one handle was told."""

    def __init__(self) -> None:
        self.wakeups: set[Wakeup] = set()
        self.vague = 0

    def __call__(self, wakeups: Collection[Wakeup]) -> None:
        self.wakeups |= set(wakeups)
        self.vague += not wakeups


@pytest.fixture
def socket_folder(path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of sockets, gone into: their own paths may be too long for a test's folder."""
    folder = path.with_name("jobs.db-wake")
    monkeypatch.chdir(folder)
    return folder


def has_sockets(store: SqliteStore) -> bool:
    assert isinstance(store.wakeups, SqliteWakeups)
    return store.wakeups.has_sockets


async def test_another_process_is_heard(path: Path, store: SqliteStore) -> None:
    heard = Heard()
    await store.wakeups.listen(heard)

    announcer = await asyncio.create_subprocess_exec(sys.executable, "-c", ANNOUNCES, path)
    assert await announcer.wait() == 0

    await eventually(lambda: heard.wakeups == {WORK, Wakeup("finished", "brève\n")})


async def test_sockets_of_the_dead_are_cleared_away(store: SqliteStore, socket_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind("dead.sock")
    assert "dead.sock" in os.listdir(socket_folder)

    await store.wakeups.announce([WORK])

    assert "dead.sock" not in os.listdir(socket_folder)


async def test_closing_leaves_no_socket(store: SqliteStore, socket_folder: Path) -> None:
    await store.wakeups.listen(Heard())
    assert has_sockets(store)

    await store.wakeups.close()

    assert os.listdir(socket_folder) == ["turn"]


async def test_a_listener_that_does_not_read_holds_nobody_up(store: SqliteStore, socket_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("deaf.sock")

        for _ in range(2000):
            await store.wakeups.announce([WORK])

        assert listener.recv(4096)
    assert "deaf.sock" in os.listdir(socket_folder)


async def test_what_cannot_be_read_means_look_everywhere(store: SqliteStore, socket_folder: Path) -> None:
    heard = Heard()
    await store.wakeups.listen(heard)
    [mailbox] = (name for name in os.listdir(socket_folder) if name.endswith(".sock"))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\xffnonsense", mailbox)

    await eventually(lambda: heard.vague == 1)


async def test_very_many_queues_are_told_as_look_everywhere(store: SqliteStore, open_store: Opener) -> None:
    other, heard = await open_store(), Heard()
    await other.wakeups.listen(heard)

    await store.wakeups.announce([Wakeup("work", f"queue {number:0100}") for number in range(100)])

    await eventually(lambda: heard.vague == 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc gives a folder a short name")
async def test_a_path_longer_than_a_socket_name_works(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    store, other = (SqliteStore(folder / "jobs.db", clock=clock, reserve_bytes=0) for _ in range(2))
    await store.open()
    await other.open()
    heard = Heard()
    await store.wakeups.listen(heard)
    assert has_sockets(store)

    await other.wakeups.announce([WORK])

    await eventually(lambda: heard.wakeups == {WORK})
    await other.close()
    await store.close()


@pytest.mark.parametrize("use_sockets", [False, True])
async def test_commits_are_found_without_being_told(path: Path, open_store: Opener, use_sockets: bool) -> None:
    store = await open_store(clock=SystemClock(), use_sockets=use_sockets)
    other = await open_store(clock=SystemClock())
    heard = Heard()
    await store.wakeups.listen(heard)
    assert has_sockets(store) == use_sockets

    await other.jobs.insert([NewJob(os.urandom(16), "mail.send", "mail", b"")])

    await eventually(lambda: heard.vague > 0)


async def test_own_commits_are_no_news(open_store: Opener) -> None:
    clock = SystemClock()
    store, other = await open_store(clock=clock, use_sockets=False), await open_store(clock=clock, use_sockets=False)
    heard = Heard()
    await store.wakeups.listen(heard)
    node = NodeHands(store, clock, boot_id=b"A" * 16)
    for _ in range(20):
        await node.enqueue()
        await clock.sleep(0.005)
    assert heard.vague == 0

    await other.queues.pause(["mail"])

    await eventually(lambda: heard.vague > 0)
