"""Queues: what operators see and switch."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import QueueRow
from tests.support.node_hands import NodeHands
from tests.support.stores import Place

NOTHING = dict.fromkeys(JobState, 0)


async def test_an_empty_store_has_no_queues(store: Store) -> None:
    assert list(await store.queues.list()) == []


async def test_list_gives_every_queue_by_name(store: Store, node: NodeHands) -> None:
    for queue in ("mails", "Archive", "bills"):
        await node.enqueue(queue=queue)

    assert [row.name for row in await store.queues.list()] == ["Archive", "bills", "mails"]


async def test_a_row_shows_counts_and_the_oldest_available_job(
    store: Store, node: NodeHands, place: Place, clock: ManualClock
) -> None:
    first_at = clock.wall_ms()
    for priority in (3, 0, 2):
        await node.enqueue(priority=priority)
        await place.pass_time(1)
    await node.enqueue(run_in_s=60)

    assert list(await store.queues.list()) == [
        QueueRow("default", False, {**NOTHING, JobState.AVAILABLE: 3, JobState.SCHEDULED: 1}, first_at)
    ]


async def test_oldest_run_at_follows_claims_and_hand_backs(store: Store, node: NodeHands, place: Place) -> None:
    await node.enqueue()
    [before] = await store.queues.list()
    await place.pass_time(1)
    await node.enqueue()

    claimed = await node.claim_one()
    [during] = await store.queues.list()
    await node.hand_back(claimed)
    [after] = await store.queues.list()

    assert before.oldest_run_at is not None
    assert during.oldest_run_at == before.oldest_run_at + 1_000
    assert after.oldest_run_at == before.oldest_run_at


async def test_oldest_run_at_forgets_a_cancelled_job(store: Store, node: NodeHands) -> None:
    await node.cancel(await node.enqueue())

    [row] = await store.queues.list()

    assert row.oldest_run_at is None


async def test_pause_is_shown_and_resume_undoes_it(store: Store, node: NodeHands) -> None:
    job_id = await node.enqueue()
    await store.queues.pause(["default"])
    assert [row.is_paused for row in await store.queues.list()] == [True]
    assert await node.claim() == []

    await store.queues.resume(["default"])

    assert [row.is_paused for row in await store.queues.list()] == [False]
    assert (await node.claim_one()).id == job_id


async def test_pause_makes_a_queue_that_nobody_knew(store: Store, node: NodeHands) -> None:
    await store.queues.pause(["later"])
    await node.enqueue(queue="later")

    reply = await node.ask(queue="later")

    assert (reply.jobs, reply.is_paused) == ([], True)
    assert [(row.name, row.is_paused) for row in await store.queues.list()] == [("later", True)]


async def test_resume_makes_no_queue(store: Store) -> None:
    await store.queues.resume(["nobody"])

    assert list(await store.queues.list()) == []


async def test_pause_and_resume_take_several_queues_or_none(store: Store, node: NodeHands) -> None:
    for queue in ("a", "b", "c"):
        await node.enqueue(queue=queue)

    await store.queues.pause(["a", "c"])
    await store.queues.pause([])
    assert [row.is_paused for row in await store.queues.list()] == [True, False, True]

    await store.queues.resume(["a"])
    await store.queues.resume([])
    assert [row.is_paused for row in await store.queues.list()] == [False, False, True]


async def test_pause_leaves_what_executes(store: Store, node: NodeHands) -> None:
    claimed = await node.start()
    await store.queues.pause(["default"])

    assert (await node.beat(claimed)).lost == []
    assert await node.finish(claimed)


async def test_a_paused_queue_takes_jobs_and_gives_them_in_order_later(store: Store, node: NodeHands) -> None:
    await store.queues.pause(["default"])
    ids = await node.enqueue_many(5)

    await store.queues.resume(["default"])

    assert [claimed.id for claimed in await node.claim()] == ids


async def test_pause_holds_for_every_node(store: Store, node: NodeHands, other_node: NodeHands) -> None:
    await node.enqueue()
    await store.queues.pause(["default"])

    assert (await other_node.ask()).is_paused
