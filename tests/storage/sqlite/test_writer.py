"""One thread commits for all: merged, answered after the commit, and each caller on its own when something fails."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import StorageError, Unavailable
from callboard.storage.job import JobState, NewJob
from callboard.storage.records import Finish, HeartbeatReply
from callboard.storage.sqlite.driver import SqliteStore
from tests.support.node_hands import LEASE_MS, NodeHands, assert_counters_are_true

from .conftest import Opener


class Held:
    """The writer's thread, held up until `release`, so that calls gather behind it."""

    def __init__(self, store: SqliteStore) -> None:
        self._gate = threading.Event()
        self._is_held = threading.Event()
        self._call = store._writer.look(self._wait)

    def _wait(self, connection: sqlite3.Connection) -> int:
        self._is_held.set()
        self._gate.wait(20)
        return connection.total_changes

    async def until_held(self) -> Held:
        await asyncio.to_thread(self._is_held.wait, 20)
        return self

    async def release(self) -> None:
        self._gate.set()
        await self._call


async def test_callers_that_wait_share_one_commit(store: SqliteStore, node: NodeHands) -> None:
    begun = store.lock_waits().count
    held = await Held(store).until_held()
    inserts = [store.jobs.insert([node.new_job()]) for _ in range(100)]
    await held.release()

    assert await asyncio.gather(*inserts) == [[True]] * 100
    assert store.lock_waits().count == begun + 1


async def test_a_transaction_is_bounded(store: SqliteStore, node: NodeHands) -> None:
    begun = store.lock_waits().count
    held = await Held(store).until_held()
    inserts = [store.jobs.insert([node.new_job() for _ in range(1000)]) for _ in range(4)]
    await held.release()

    await asyncio.gather(*inserts)
    assert store.lock_waits().count == begun + 2


async def test_a_heartbeat_goes_before_all_that_waits(store: SqliteStore, node: NodeHands) -> None:
    answered: list[str] = []
    handle = store.heartbeats()
    await handle.open()

    async def insert() -> None:
        await store.jobs.insert([node.new_job() for _ in range(1000)])
        answered.append("insert")

    async def beat() -> None:
        await handle.heartbeat([], boot_id=node.boot_id, lease_ms=LEASE_MS, report=b"")
        answered.append("beat")

    held = await Held(store).until_held()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(insert())
        await asyncio.sleep(0)
        tasks.create_task(beat())
        await asyncio.sleep(0)
        await held.release()

    assert answered[0] == "beat"
    await handle.close()


async def test_a_heartbeat_is_answered_on_its_own_loop(store: SqliteStore, node: NodeHands) -> None:
    claimed = await node.start()

    def beat() -> HeartbeatReply:
        return asyncio.run(node.beat(claimed))

    assert await asyncio.to_thread(beat) == HeartbeatReply([], [], [])


async def test_a_cancelled_caller_disturbs_nobody(store: SqliteStore, node: NodeHands) -> None:
    held = await Held(store).until_held()
    first, second = node.new_job(), node.new_job()
    given_up = asyncio.ensure_future(store.jobs.insert([first]))
    kept = store.jobs.insert([second])
    given_up.cancel()
    await held.release()

    assert await kept == [True]
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert {job.id for job in await node.claim()} == {first.id, second.id}


async def test_only_the_failing_call_fails(store: SqliteStore, node: NodeHands) -> None:
    claimed = await node.start()
    held = await Held(store).until_held()
    good = store.jobs.insert([node.new_job()])
    broken = store.jobs.insert([node.new_job(), NewJob(node.ids.new_id(), "n", "default", None)])  # type: ignore[arg-type]
    end = Finish(claimed.id, claimed.claim_token, claimed.queue, JobState.COMPLETED, claimed.attempt)
    finish = store.jobs.finish([end], boot_id=node.boot_id)
    await held.release()

    assert await good == [True]
    assert await finish == [True]
    with pytest.raises(StorageError, match=r"NOT NULL constraint failed: jobs\.payload"):
        await broken
    assert len(await node.claim()) == 1
    await assert_counters_are_true(store)


async def test_a_lost_lease_beside_good_ones_is_found(store: SqliteStore, node: NodeHands) -> None:
    await node.enqueue_many(100)
    claimed = await node.claim()
    lost = claimed[37]
    await node.hand_back(lost)
    held = await Held(store).until_held()
    finishes = [node.finish(one) for one in claimed]
    inserted = store.jobs.insert([node.new_job()])
    answers = asyncio.gather(*finishes)
    await asyncio.sleep(0)
    await held.release()

    assert [one for one, accepted in zip(claimed, await answers, strict=True) if not accepted] == [lost]
    assert await inserted == [True]
    await assert_counters_are_true(store)


async def test_what_was_handed_in_is_finished_before_closing(
    path: Path, clock: ManualClock, open_store: Opener
) -> None:
    store = SqliteStore(path, clock=clock, reserve_bytes=0)
    await store.open()
    node = NodeHands(store, clock, boot_id=b"A" * 16)
    inserts = [store.jobs.insert([node.new_job() for _ in range(500)]) for _ in range(10)]

    await store.close()

    assert await asyncio.gather(*inserts) == [[True] * 500] * 10
    with pytest.raises(Unavailable, match="is not open"):
        await store.jobs.insert([node.new_job()])
    assert (await (await open_store()).queues.counts())[JobState.AVAILABLE] == 5000


async def test_long_payloads_come_back_whole(store: SqliteStore, node: NodeHands) -> None:
    jobs = [
        node.new_job(name=name, payload=payload)
        for name, payload in (("a", b""), ("brève", b"\x00\xff" * 120_000), ("c", b"\x00"), ("日本", bytes(range(256))))
    ]
    await store.jobs.insert(jobs)

    claimed = await node.claim()

    assert [(one.id, one.name, one.payload) for one in claimed] == [(job.id, job.name, job.payload) for job in jobs]


async def test_a_value_that_cannot_be_kept_is_no_outage(store: SqliteStore, node: NodeHands) -> None:
    """As an outage it was asked again for ever, and everybody waited behind it."""
    [job_id] = await node.enqueue_many(1)
    reason: Any = object()

    with pytest.raises(StorageError, match="cannot hold a value that it was given") as caught:
        await store.jobs.cancel([job_id], reason=reason)

    assert type(caught.value) is StorageError
    assert await node.state(job_id) is JobState.AVAILABLE
