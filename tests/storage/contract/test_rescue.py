"""rescue: what a dead node held comes back, exactly once, and a job that kills its nodes ends."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Rescued
from tests.support.node_hands import OOPS, NodeHands
from tests.support.stores import Place

pytestmark = pytest.mark.wheel


async def expired(node: NodeHands, place: Place) -> Claimed:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(2)
    return claimed


async def test_rescue_makes_an_expired_job_available_with_its_attempt_restored(node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)

    assert await node.rescue() == [Rescued(claimed.id, "default", JobState.AVAILABLE)]

    job = await node.job(claimed.id)
    assert (job.state, job.attempt, job.crashes, job.claim_token) == (JobState.AVAILABLE, 0, 1, 1)
    assert (job.lease_until, job.boot_id) == (None, None)


async def test_rescue_keeps_the_lost_lease_among_the_failures(
    node: NodeHands, place: Place, clock: ManualClock
) -> None:
    claimed = await expired(node, place)

    await node.rescue()

    [failure] = await node.failures(claimed.id)
    assert (failure.claim_token, failure.attempt, failure.boot_id) == (1, 1, node.boot_id)
    assert (failure.error.kind, failure.failed_at) == ("lease lost", clock.wall_ms())


async def test_rescue_leaves_leases_that_hold(node: NodeHands, place: Place) -> None:
    held = await node.start(lease_ms=600_000)
    await place.pass_time(30)

    assert await node.rescue() == []
    assert await node.state(held.id) is JobState.EXECUTING


async def test_rescue_happens_once(node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)

    assert len(await node.rescue()) == 1
    assert await node.rescue() == []

    assert (await node.job(claimed.id)).crashes == 1


async def test_a_rescued_job_keeps_its_place_in_line(node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)
    await place.pass_time(1)
    newer = await node.enqueue()

    await node.rescue()

    assert [one.id for one in await node.claim()] == [claimed.id, newer]


async def test_a_rescued_job_is_claimed_with_the_next_token_and_the_same_attempt(node: NodeHands, place: Place) -> None:
    await expired(node, place)
    await node.rescue()

    again = await node.claim_one()

    assert (again.attempt, again.claim_token, again.crashes) == (1, 2, 1)


async def test_rescue_takes_at_most_the_limit(node: NodeHands, place: Place) -> None:
    await node.enqueue_many(7)
    await node.claim(7, lease_ms=1_000)
    await place.pass_time(2)

    sizes = [len(await node.rescue(limit=3)) for _ in range(4)]

    assert sizes == [3, 3, 1, 0]


async def test_rescue_fails_a_job_that_spent_its_crashes(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)
    for _ in range(2):
        await place.pass_time(2)
        assert [rescued.state for rescued in await node.rescue(max_crashes=3)] == [JobState.AVAILABLE]
        await node.claim_one(lease_ms=1_000)
    await place.pass_time(2)

    assert await node.rescue(max_crashes=3) == [Rescued(claimed.id, "default", JobState.FAILED)]

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.crashes, job.attempt) == (JobState.FAILED, "poison", 3, 0)
    assert job.finished_at is not None
    assert len(await node.failures(claimed.id)) == 3
    assert await node.claim() == []


async def test_crashes_do_not_spend_attempts_nor_attempts_crashes(node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)
    await node.rescue()
    await node.retry(await node.claim_one(), run_in_s=1)
    await place.pass_time(1)
    again = await node.claim_one(lease_ms=1_000)

    assert (again.attempt, again.crashes) == (2, 1)
    await place.pass_time(2)
    await node.rescue()
    job = await node.job(claimed.id)
    assert (job.attempt, job.crashes) == (1, 2)


@pytest.mark.parametrize("max_crashes", [1, 5])
async def test_rescue_cancels_a_job_that_was_asked_to_stop(node: NodeHands, place: Place, max_crashes: int) -> None:
    claimed = await expired(node, place)
    await node.cancel(claimed.id, reason="operator")

    rescued = await node.rescue(max_crashes=max_crashes)

    assert rescued == [Rescued(claimed.id, "default", JobState.CANCELLED)]
    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.crashes, job.cancel_requested) == (JobState.CANCELLED, "operator", 1, False)


async def test_f58_rescue_needs_no_row_of_the_node_that_died(store: Store, node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)
    await store.nodes.forget([node.boot_id])

    assert [rescued.id for rescued in await node.rescue()] == [claimed.id]


async def test_rescue_works_on_a_paused_queue(store: Store, node: NodeHands, place: Place) -> None:
    claimed = await expired(node, place)
    await store.queues.pause(["default"])

    await node.rescue()

    assert await node.state(claimed.id) is JobState.AVAILABLE
    assert await node.claim() == []


async def test_rescue_takes_jobs_of_all_queues_and_nodes(node: NodeHands, other_node: NodeHands, place: Place) -> None:
    claims = [await node.start(queue="a", lease_ms=1_000), await other_node.start(queue="b", lease_ms=1_000)]
    await place.pass_time(2)

    rescued = await node.rescue()

    assert {(one.id, one.queue) for one in rescued} == {(claimed.id, claimed.queue) for claimed in claims}


async def test_f45_a_wall_clock_that_jumps_ends_no_lease(node: NodeHands, clock: ManualClock) -> None:
    await node.start()

    for seconds in (86_400, -2 * 86_400):
        clock.jump_wall(seconds)
        assert await node.rescue() == []


async def test_two_rescuers_take_each_job_once(node: NodeHands, other_node: NodeHands, place: Place) -> None:
    ids = await node.enqueue_many(40)
    await node.claim(40, lease_ms=1_000)
    await place.pass_time(2)

    taken = []
    for hands in (node, other_node) * 5:
        taken += [rescued.id for rescued in await hands.rescue(limit=5)]

    assert sorted(taken) == ids
    assert {(await node.job(job_id)).crashes for job_id in ids} == {1}


async def test_rescue_keeps_earlier_failures(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.retry(claimed, run_in_s=1, error=OOPS)
    await place.pass_time(1)
    await node.claim_one(lease_ms=1_000)
    await place.pass_time(2)

    await node.rescue()

    assert [failure.error.kind for failure in await node.failures(claimed.id)] == [OOPS.kind, "lease lost"]
