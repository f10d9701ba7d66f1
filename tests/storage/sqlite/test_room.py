"""A full disk: new jobs are refused, what runs goes on and finishes, and nothing has to be restarted afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import Full
from callboard.storage.job import JobState
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.host import Host
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands, assert_counters_are_true

from .conftest import Opener

MIB = 1 << 20


class SmallDisk(Host):
    """A disk with as much room as the test says."""

    def __init__(self, room: int) -> None:
        self.room = room

    def room_bytes(self, path: str) -> int:
        return self.room


async def test_below_the_reserve_only_new_jobs_are_refused(open_store: Opener, clock: ManualClock) -> None:
    disk = SmallDisk(17 * MIB)
    store = await open_store(host=disk, reserve_bytes=16 * MIB)
    node = NodeHands(store, clock, boot_id=b"A" * 16)
    first, second = await node.enqueue_many(2)
    disk.room = 15 * MIB

    async def is_refused() -> bool:
        try:
            await node.enqueue(queue="other")
        except Full as error:
            return "15 MiB are left, 16 MiB are kept for completions" in str(error)
        return False

    await eventually(is_refused)
    one, two = await node.claim()
    assert await node.finish(one, result=b"done")
    assert await node.retry(two)
    assert [await node.state(job_id) for job_id in (first, second)] == [JobState.COMPLETED, JobState.RETRYABLE]

    disk.room = 17 * MIB

    async def is_taken() -> bool:
        return not await is_refused()

    await eventually(is_taken)
    await assert_counters_are_true(store)


async def test_a_file_that_cannot_grow_refuses_jobs_and_finishes_them(store: SqliteStore, node: NodeHands) -> None:
    jobs = await node.enqueue_many(50)
    pages = await store._writer.look(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.look(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 12}").fetchone())

    with pytest.raises(Full, match="takes no new jobs: the disk is full"):
        await store.jobs.insert([node.new_job(payload=b"x" * 200_000)])
    for claimed in await node.claim(10):
        assert await node.finish(claimed)
    assert (await store.queues.counts())[JobState.COMPLETED] == 10

    await store._writer.look(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    assert await store.jobs.insert([node.new_job(payload=b"x" * 200_000)]) == [True]
    assert (await store.queues.counts())[JobState.AVAILABLE] == len(jobs) - 10 + 1
    await assert_counters_are_true(store)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of this kind")
@pytest.mark.parametrize("reserve", [0, 600_000])
def test_a_file_size_limit_loses_nothing(path: Path, reserve: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FILLS_A_LIMITED_FILE, str(path), str(reserve)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["refused"]
    assert told["stored"] == told["acknowledged"] == told["finished"]
    assert told["after"] == [True]
    assert told["integrity"] == ["ok"]


FILLS_A_LIMITED_FILE = """
import asyncio, json, os, resource, sqlite3, sys
from callboard.kernel.clock import SystemClock
from callboard.storage.errors import Full, Unavailable
from callboard.storage.job import JobState, NewJob
from callboard.storage.records import ClaimRequest, Finish
from callboard.storage.sqlite.driver import SqliteStore

def new(size):
    return NewJob(os.urandom(16), "n", "q", b"x" * size)

async def main():
    path, reserve = sys.argv[1], int(sys.argv[2])
    store = SqliteStore(path, clock=SystemClock(), reserve_bytes=reserve)
    await store.open()
    # The limit is the process's own, so it can be lifted again: the soft one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    acknowledged, refused = 0, False
    while not refused:
        try:
            acknowledged += len(await store.jobs.insert([new(1000) for _ in range(20)]))
        except Full:
            refused = True
    if not reserve:
        # Without a reserve the log itself may be full, and only more room helps.
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    finished = 0
    while True:
        [reply] = await store.jobs.claim([ClaimRequest("q", 10)], boot_id=b"B" * 16, lease_ms=60_000)
        if not reply.jobs:
            break
        ends = [Finish(j.id, j.claim_token, j.queue, JobState.COMPLETED, j.attempt, b"r") for j in reply.jobs]
        finished += sum(await store.jobs.finish(ends, boot_id=b"B" * 16))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = None
    while after is None:  # room is looked at again now and then
        try:
            after = await store.jobs.insert([new(1000)])
        except Full:
            continue
    counts = await store.queues.counts()
    await store.close()
    with sqlite3.connect(path) as connection:
        integrity = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    print(json.dumps(dict(refused=refused, acknowledged=acknowledged, finished=finished, after=after,
        stored=sum(counts.values()) - 1, integrity=integrity)))

asyncio.run(main())
"""
