"""hand_back: as if it had never been claimed, but for the token."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import HandBack
from tests.support.node_hands import NodeHands
from tests.support.stores import Place


async def test_hand_back_restores_the_attempt_and_the_place_in_line(node: NodeHands, place: Place) -> None:
    ids = []
    for _ in range(3):
        ids.append(await node.enqueue())
        await place.pass_time(1)
    first = await node.claim_one()

    assert await node.hand_back(first)

    job = await node.job(ids[0])
    assert (job.state, job.attempt, job.claim_token, job.lease_until) == (JobState.AVAILABLE, 0, 1, None)
    assert [claimed.id for claimed in await node.claim()] == ids


async def test_hand_back_of_many_keeps_their_order(store: Store, node: NodeHands, place: Place) -> None:
    ids = []
    for _ in range(5):
        ids += await node.enqueue_many(4)
        await place.pass_time(0.001)
    claims = await node.claim(12)
    backs = [HandBack(claimed.id, claimed.claim_token, claimed.queue) for claimed in reversed(claims)]

    await store.jobs.hand_back(backs, boot_id=node.boot_id)

    assert [claimed.id for claimed in await node.claim(100)] == ids


async def test_hand_back_goes_before_what_came_later_in_its_own_priority_only(node: NodeHands, place: Place) -> None:
    low = await node.enqueue(priority=3)
    claimed = await node.claim_one()
    await place.pass_time(1)
    high, newer_low = await node.enqueue(priority=0), await node.enqueue(priority=3)

    await node.hand_back(claimed)

    assert [one.id for one in await node.claim()] == [high, low, newer_low]


async def test_hand_back_is_seen_by_another_node_at_once(node: NodeHands, other_node: NodeHands) -> None:
    claimed = await node.start()

    await node.hand_back(claimed)

    taken = await other_node.claim_one()
    assert (taken.id, taken.attempt, taken.claim_token) == (claimed.id, 1, 2)


async def test_hand_back_with_a_delay_waits_unspent(node: NodeHands, place: Place, clock: ManualClock) -> None:
    claimed = await node.start()

    assert await node.hand_back(claimed, run_in_s=5)

    job = await node.job(claimed.id)
    assert (job.state, job.attempt, job.run_at) == (JobState.SCHEDULED, 0, clock.wall_ms() + 5_000)
    assert await node.claim() == []
    await place.pass_time(5)
    assert (await node.claim_one()).attempt == 1


async def test_hand_back_leaves_no_failure_and_no_crash(node: NodeHands) -> None:
    claimed = await node.start()

    await node.hand_back(claimed)

    assert await node.failures(claimed.id) == []
    assert (await node.job(claimed.id)).crashes == 0


async def test_hand_back_again_is_accepted_and_restores_once(node: NodeHands) -> None:
    at_once, later = await node.start(), await node.start()
    await node.hand_back(at_once)
    await node.hand_back(later, run_in_s=5)
    before = await node.observe()

    assert await node.hand_back(at_once)
    assert await node.hand_back(later, run_in_s=5)

    assert await node.observe() == before
    assert len(await node.claim()) == 1


async def test_hand_back_of_a_job_that_was_asked_to_stop_cancels_it(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    assert await node.hand_back(claimed)
    assert await node.hand_back(claimed)

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.cancel_requested) == (JobState.CANCELLED, "operator", False)
    assert await node.claim() == []


async def test_hand_back_and_claim_in_turn_lose_nothing(node: NodeHands) -> None:
    ids = await node.enqueue_many(20)

    for _ in range(30):
        claims = await node.claim(7)
        assert [claimed.id for claimed in claims] == ids[:7]
        for claimed in claims:
            await node.hand_back(claimed)

    assert [claimed.id for claimed in await node.claim()] == ids


async def test_hand_back_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    await node.enqueue_many(3)
    backs = [HandBack(one.id, one.claim_token, one.queue) for one in await node.claim(3)]
    backs[2] = backs[2]._replace(claim_token=0)

    assert await store.jobs.hand_back(backs, boot_id=node.boot_id) == [True, True, False]
    assert await store.jobs.hand_back([], boot_id=node.boot_id) == []
