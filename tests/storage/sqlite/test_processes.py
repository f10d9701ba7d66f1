"""Several processes on one file: fair turns, a lock held by others, processes that are killed or stopped in the act."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import Unavailable
from callboard.storage.job import JobState
from callboard.storage.sqlite.driver import SqliteStore
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands, assert_counters_are_true

from .conftest import Opener

Child = asyncio.subprocess.Process
Spawn = Callable[..., Awaitable[Child]]

DRAINS = """
import asyncio, json, os, sys, threading
from callboard.kernel.clock import SystemClock
from callboard.storage.job import JobState
from callboard.storage.records import ClaimRequest, Finish
from callboard.storage.sqlite.driver import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock(), reserve_bytes=0)
    await store.open()
    boot, ids, beats = os.urandom(16), [], 0
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        [reply] = await store.jobs.claim([ClaimRequest("default", 20)], boot_id=boot, lease_ms=60_000)
        if not reply.jobs:
            break
        ends = [Finish(j.id, j.claim_token, j.queue, JobState.COMPLETED, j.attempt, b"r") for j in reply.jobs]
        assert all(await store.jobs.finish(ends, boot_id=boot))
        ids += [job.id.hex() for job in reply.jobs]
    print(json.dumps(ids), flush=True)
    await store.close()

asyncio.run(main())
"""

HOLDS_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE jobs SET priority = 3")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""

STANDS_IN_THE_TURNSTILE = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("stands", flush=True)
time.sleep(60)
"""


@pytest.fixture
async def spawn(anyio_backend: str) -> AsyncIterator[Spawn]:
    """Starts Python children, which are gone after the test."""
    children: list[Child] = []

    async def start(code: str, *arguments: object) -> Child:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            *map(str, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=1 << 24,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def said(child: Child) -> str:
    assert child.stdout is not None
    return (await child.stdout.readline()).decode().strip()


def tell(child: Child) -> None:
    assert child.stdin is not None
    child.stdin.write(b"go\n")


async def test_busy_processes_share_the_file_fairly(
    path: Path, store: SqliteStore, node: NodeHands, spawn: Spawn
) -> None:
    ids = await node.enqueue_many(6000)
    children = [await spawn(DRAINS, path) for _ in range(2)]
    assert [await said(child) for child in children] == ["ready"] * 2

    for child in children:
        tell(child)
    done = [json.loads(await said(child)) for child in children]

    assert sorted(done[0] + done[1]) == sorted(job_id.hex() for job_id in ids)
    assert min(map(len, done)) > len(ids) / 8, [len(one) for one in done]  # one lock, two processes, other work beside
    assert (await store.queues.counts())[JobState.COMPLETED] == len(ids)
    await assert_counters_are_true(store)


async def test_a_lock_held_for_three_seconds_is_waited_for(
    path: Path, store: SqliteStore, node: NodeHands, spawn: Spawn
) -> None:
    claimed = await node.start()
    holder = await spawn(HOLDS_THE_LOCK, path, 3)
    assert await said(holder) == "held"

    assert await node.enqueue()
    assert (await node.beat(claimed)).lost == []
    assert await node.finish(claimed)
    assert store.lock_waits().longest_ms > 1000


async def test_a_lock_that_is_not_given_back_is_reported(path: Path, open_store: Opener, spawn: Spawn) -> None:
    store = await open_store(lock_timeout_s=0.2)
    node = NodeHands(store, ManualClock(), boot_id=b"A" * 16)
    job_id = await node.enqueue()
    holder = await spawn(HOLDS_THE_LOCK, path, 60)
    assert await said(holder) == "held"

    with pytest.raises(Unavailable, match="has been locked by another process for"):
        await node.enqueue()
    assert await node.state(job_id) is JobState.AVAILABLE  # reading goes on

    holder.kill()
    await eventually(node.enqueue)


async def test_a_process_killed_in_its_transaction_leaves_nothing_of_it(
    path: Path, store: SqliteStore, node: NodeHands, spawn: Spawn
) -> None:
    job_id = await node.enqueue()
    holder = await spawn(HOLDS_THE_LOCK, path, 60)
    assert await said(holder) == "held"

    holder.kill()

    assert await node.enqueue()
    assert (await node.job(job_id)).priority == 2
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no turnstile")
async def test_a_process_stopped_in_the_turnstile_is_passed_by(
    path: Path, store: SqliteStore, node: NodeHands, spawn: Spawn
) -> None:
    stopped = await spawn(STANDS_IN_THE_TURNSTILE, path.with_name("jobs.db-wake") / "turn")
    assert await said(stopped) == "stands"
    os.kill(stopped.pid, signal.SIGSTOP)

    await node.enqueue_many(10)
    for claimed in await node.claim():
        assert await node.finish(claimed)

    os.kill(stopped.pid, signal.SIGCONT)


async def test_a_process_that_fails_before_closing_ends(path: Path, spawn: Spawn) -> None:
    child = await spawn(FAILS, path)

    output, _ = await child.communicate()

    assert (child.returncode, output.decode().split()) == (1, ["{}"])


FAILS = """
import asyncio, sys
from callboard.kernel.clock import SystemClock
from callboard.storage.sqlite.driver import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock())
    await store.open()
    print({row.name: row for row in await store.queues.list()})
    sys.exit(1)

asyncio.run(main())
"""
