"""snooze: later, and no attempt spent."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Snooze
from tests.support.node_hands import NodeHands
from tests.support.stores import Place


async def test_snooze_restores_the_attempt(node: NodeHands, clock: ManualClock) -> None:
    claimed = await node.start()

    assert await node.snooze(claimed, run_in_s=10)

    job = await node.job(claimed.id)
    assert (job.state, job.run_at) == (JobState.SCHEDULED, clock.wall_ms() + 10_000)
    assert (job.attempt, job.claim_token, job.lease_until) == (0, 1, None)
    assert await node.failures(claimed.id) == []


async def test_snooze_waits_for_its_time(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.snooze(claimed, run_in_s=10)
    await place.pass_time(9)
    assert await node.claim() == []

    await place.pass_time(1)

    again = await node.claim_one()
    assert (again.id, again.attempt, again.claim_token) == (claimed.id, 1, 2)


async def test_many_snoozes_never_spend_an_attempt(node: NodeHands, place: Place) -> None:
    await node.enqueue()
    for token in range(1, 20):
        claimed = await node.claim_one()
        assert (claimed.attempt, claimed.claim_token) == (1, token)
        await node.snooze(claimed, run_in_s=1)
        await place.pass_time(1)


async def test_snooze_after_a_failed_attempt_restores_only_its_own(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.retry(claimed, run_in_s=1)
    await place.pass_time(1)

    await node.snooze(await node.claim_one())

    assert (await node.job(claimed.id)).attempt == 1


async def test_snooze_again_is_accepted_and_restores_once(node: NodeHands) -> None:
    claimed = await node.start()
    await node.snooze(claimed)
    before = await node.observe()

    assert await node.snooze(claimed)

    assert await node.observe() == before


async def test_snooze_of_a_job_that_was_asked_to_stop_cancels_it(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    assert await node.snooze(claimed)
    assert await node.snooze(claimed)

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.attempt) == (JobState.CANCELLED, "operator", 0)


async def test_snooze_answers_in_the_order_asked(store: Store, node: NodeHands, clock: ManualClock) -> None:
    await node.enqueue_many(3)
    snoozes = [Snooze(one.id, one.claim_token, one.queue, clock.wall_ms() + 1) for one in await node.claim(3)]
    snoozes[0] = snoozes[0]._replace(id=b"?" * 16)

    assert await store.jobs.snooze(snoozes, boot_id=node.boot_id) == [False, True, True]
    assert await store.jobs.snooze([], boot_id=node.boot_id) == []
