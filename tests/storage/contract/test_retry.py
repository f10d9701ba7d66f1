"""retry: a failed attempt is put back, its error kept."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import ErrorRecord, Failure
from callboard.storage.records import Retry as RetryRecord
from tests.support.node_hands import OOPS, NodeHands
from tests.support.stores import Place


async def test_retry_puts_the_job_back_with_its_attempt_spent(node: NodeHands, clock: ManualClock) -> None:
    claimed = await node.start()

    assert await node.retry(claimed, run_in_s=10)

    job = await node.job(claimed.id)
    assert (job.state, job.run_at) == (JobState.RETRYABLE, clock.wall_ms() + 10_000)
    assert (job.attempt, job.claim_token, job.crashes, job.lease_until) == (1, 1, 0, None)


async def test_retry_waits_for_its_time_and_then_counts_on(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.retry(claimed, run_in_s=10)
    assert await node.claim() == []

    await place.pass_time(10)

    again = await node.claim_one()
    assert (again.id, again.attempt, again.claim_token) == (claimed.id, 2, 2)


async def test_retry_queues_behind_work_that_came_before_it_was_due(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.retry(claimed, run_in_s=10)
    await place.pass_time(5)
    newer = await node.enqueue()
    await place.pass_time(10)

    assert [one.id for one in await node.claim()] == [newer, claimed.id]


async def test_retry_at_once_is_claimed_at_once(node: NodeHands) -> None:
    claimed = await node.start()
    await node.retry(claimed, run_in_s=0)
    assert await node.state(claimed.id) is JobState.RETRYABLE

    assert (await node.claim_one()).attempt == 2


async def test_failures_stand_in_order_with_whole_errors(node: NodeHands, place: Place, clock: ManualClock) -> None:
    job_id = await node.enqueue()
    expected = []
    for number in range(1, 4):
        error = ErrorRecord("E", f"number {number}\nü", "line\n" * number)
        claimed = await node.claim_one()
        expected.append(Failure(number, number, node.boot_id, clock.wall_ms(), error))
        await node.retry(claimed, run_in_s=1, error=error)
        await place.pass_time(1)

    assert await node.failures(job_id) == expected


async def test_failures_of_an_unknown_job_are_none(node: NodeHands) -> None:
    assert await node.failures(b"?" * 16) == []


async def test_retry_again_is_accepted_and_keeps_the_error_once(node: NodeHands) -> None:
    claimed = await node.start()
    await node.retry(claimed)
    before = await node.observe()

    assert await node.retry(claimed)

    assert await node.observe() == before
    assert len(await node.failures(claimed.id)) == 1


async def test_retry_of_a_job_that_was_asked_to_stop_cancels_it(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    assert await node.retry(claimed)

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.cancel_requested) == (JobState.CANCELLED, "operator", False)
    assert len(await node.failures(claimed.id)) == 1
    assert job.finished_at is not None


async def test_retry_again_of_a_job_that_it_cancelled_is_accepted(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id)
    await node.retry(claimed)
    before = await node.observe()

    assert await node.retry(claimed)

    assert await node.observe() == before


async def test_retry_answers_in_the_order_asked(store: Store, node: NodeHands, clock: ManualClock) -> None:
    await node.enqueue_many(3)
    retries = [
        RetryRecord(one.id, one.claim_token, one.queue, one.attempt, clock.wall_ms() + 1, OOPS)
        for one in await node.claim(3)
    ]
    retries[1] = retries[1]._replace(claim_token=7)

    assert await store.jobs.retry(retries, boot_id=node.boot_id) == [True, False, True]
    assert await store.jobs.retry([], boot_id=node.boot_id) == []
