"""A process that dies is found by the lock that it leaves, and its jobs go on before its leases run out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.job import JobState
from callboard.storage.records import Wakeup
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.presence import Presence

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys, time
from callboard.kernel.clock import SystemClock
from callboard.storage.job import NewJob
from callboard.storage.records import ClaimRequest, Node
from callboard.storage.sqlite.driver import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock())
    await store.open()
    await store.nodes.register(Node(b"a" * 16, "here", 1, "1", 1))
    await store.jobs.insert([NewJob(b"j" * 16, "job", "default", b"")])
    [reply] = await store.jobs.claim([ClaimRequest("default", 1)], boot_id=b"a" * 16, lease_ms=3_600_000)
    print(len(reply.jobs), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def _start_holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)


async def test_a_killed_holder_is_rescued_long_before_its_lease_ends(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    holder = _start_holder(path)
    store = SqliteStore(path, clock=SystemClock())
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "1\n"
        await store.open()
        heard: asyncio.Queue[Collection[Wakeup]] = asyncio.Queue()
        await store.wakeups.listen(heard.put_nowait)

        assert await store.jobs.rescue(limit=10, max_crashes=5) == []  # it lives, and so does its lease
        os.kill(holder.pid, signal.SIGSTOP)
        assert await store.jobs.rescue(limit=10, max_crashes=5) == []  # a stopped process is not a dead one
        os.kill(holder.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while Wakeup("lost", "") not in await heard.get():
                pass
        [rescued] = await store.jobs.rescue(limit=10, max_crashes=5)

        assert rescued.state is JobState.AVAILABLE
        [job] = await store.jobs.get([b"j" * 16])
        assert job is not None
        assert (job.attempt, job.crashes) == (0, 1)
        assert not list(Path(f"{path}-wake").glob("*.alive"))
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
        await store.close()


def test_a_node_that_leaves_in_order_is_not_taken_for_dead(tmp_path: Path) -> None:
    mine, other = Presence(str(tmp_path)), Presence(str(tmp_path))
    mine.appear(b"a" * 16)

    assert mine.dead() == other.dead() == []
    mine.leave([b"a" * 16])
    assert other.dead() == []


def test_a_closed_process_leaves_its_mark(tmp_path: Path) -> None:
    mine, other = Presence(str(tmp_path)), Presence(str(tmp_path))
    mine.appear(b"a" * 16)
    mine.close()

    assert other.dead() == [b"a" * 16]
    other.leave([b"a" * 16])
    assert other.dead() == []


def test_strange_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "no hex.alive").touch()

    assert Presence(str(tmp_path)).dead() == []
    assert Presence(str(tmp_path / "missing")).dead() == ()
    Presence(str(tmp_path / "missing")).appear(b"a" * 16)
