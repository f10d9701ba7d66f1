"""insert: jobs are kept once, whole, and where they belong."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import Job, JobState, NewJob
from callboard.storage.ports.store import Store
from callboard.storage.records import JobFilter
from tests.support.node_hands import ALL, NodeHands
from tests.support.stores import Place

pytestmark = pytest.mark.wheel


async def test_insert_keeps_every_field(store: Store, node: NodeHands, clock: ManualClock) -> None:
    new = NewJob(node.ids.new_id(), "mail.send", "mails", b"\x00\xff args", 1, clock.wall_ms() + 5_000, 1_500)

    assert await store.jobs.insert([new]) == [True]

    assert await node.job(new.id) == Job(
        id=new.id,
        name="mail.send",
        queue="mails",
        state=JobState.SCHEDULED,
        priority=1,
        vtime=(await node.job(new.id)).vtime,
        run_at=clock.wall_ms() + 5_000,
        inserted_at=clock.wall_ms(),
        attempt=0,
        claim_token=0,
        crashes=0,
        payload=b"\x00\xff args",
        timeout_ms=1_500,
    )


async def test_insert_without_run_at_is_available_now(node: NodeHands, clock: ManualClock) -> None:
    job = await node.job(await node.enqueue())

    assert (job.state, job.run_at, job.vtime) == (JobState.AVAILABLE, clock.wall_ms(), clock.wall_ms())


async def test_insert_with_run_at_of_this_millisecond_is_available(node: NodeHands) -> None:
    assert await node.state(await node.enqueue(run_in_s=0)) is JobState.AVAILABLE


async def test_insert_with_run_at_ahead_is_scheduled(node: NodeHands) -> None:
    assert await node.state(await node.enqueue(run_in_s=0.001)) is JobState.SCHEDULED


async def test_insert_with_run_at_behind_is_available_and_keeps_it(node: NodeHands, clock: ManualClock) -> None:
    job = await node.job(await node.enqueue(run_in_s=-60))

    assert (job.state, job.run_at) == (JobState.AVAILABLE, clock.wall_ms() - 60_000)


async def test_insert_of_nothing_is_legal(store: Store) -> None:
    assert await store.jobs.insert([]) == []


async def test_insert_again_with_the_same_id_is_the_same_job(store: Store, node: NodeHands) -> None:
    new = node.new_job()
    await store.jobs.insert([new])
    before = await node.observe()

    answer = await store.jobs.insert([new._replace(payload=b"other", queue="elsewhere", priority=0)])

    assert answer == [False]
    assert await node.observe() == before


async def test_insert_with_the_same_id_twice_in_a_batch_keeps_the_first(store: Store, node: NodeHands) -> None:
    new = node.new_job(payload=b"first")

    assert await store.jobs.insert([new, new._replace(payload=b"second")]) == [True, False]

    assert (await node.job(new.id)).payload == b"first"


async def test_insert_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    known = [node.new_job() for _ in range(3)]
    await store.jobs.insert(known)
    fresh = [node.new_job() for _ in range(3)]

    answer = await store.jobs.insert([fresh[0], known[2], known[0], fresh[1], known[1], fresh[2]])

    assert answer == [True, False, False, True, False, True]


async def test_insert_again_leaves_an_executing_job_alone(store: Store, node: NodeHands) -> None:
    claimed = await node.start()
    before = await node.observe()

    assert await store.jobs.insert([node.new_job()._replace(id=claimed.id)]) == [False]

    assert await node.observe() == before


async def test_insert_again_does_not_wake_a_finished_job(store: Store, node: NodeHands) -> None:
    claimed = await node.start()
    await node.finish(claimed)

    assert await store.jobs.insert([node.new_job()._replace(id=claimed.id)]) == [False]

    assert await node.state(claimed.id) is JobState.COMPLETED
    assert await node.claim() == []


async def test_insert_keeps_a_thousand_jobs_in_one_batch(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(1000)

    assert [claimed.id for claimed in await node.claim(1000)] == ids


async def test_insert_keeps_a_large_payload_and_an_empty_one(store: Store, node: NodeHands) -> None:
    large, empty = node.new_job(payload=bytes(range(256)) * 4096), node.new_job(payload=b"")

    await store.jobs.insert([large, empty])

    assert [claimed.payload for claimed in await node.claim()] == [large.payload, b""]


async def test_insert_keeps_names_beyond_ascii(store: Store, node: NodeHands) -> None:
    new = node.new_job(name="brief.öffnen", queue="büro'; --")

    await store.jobs.insert([new])

    [claimed] = await node.claim(queue="büro'; --")
    assert (claimed.name, claimed.queue) == ("brief.öffnen", "büro'; --")
    assert await store.jobs.count(JobFilter(queue="büro'; --")) == 1


async def test_inserted_jobs_are_seen_by_another_node(node: NodeHands, other_node: NodeHands) -> None:
    job_id = await node.enqueue()

    assert (await other_node.claim_one()).id == job_id


async def test_an_id_is_free_again_once_its_job_is_deleted(store: Store, node: NodeHands) -> None:
    new = node.new_job()
    await store.jobs.insert([new])
    await node.delete(new.id)

    assert await store.jobs.insert([new]) == [True]

    assert (await node.claim_one()).claim_token == 1


async def test_insert_counts_by_state(store: Store, node: NodeHands, place: Place) -> None:
    await node.enqueue_many(3)
    await node.enqueue(run_in_s=60)

    counts = await store.queues.counts("default")

    assert (counts[JobState.AVAILABLE], counts[JobState.SCHEDULED]) == (3, 1)
    assert await store.jobs.count(ALL) == 4
