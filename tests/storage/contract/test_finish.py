"""finish: an attempt ends, once, with what it left."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import TERMINAL, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Failure, Finish
from tests.support.node_hands import OOPS, NodeHands
from tests.support.stores import Place

ENDS = sorted(TERMINAL)

pytestmark = pytest.mark.wheel


@pytest.mark.parametrize("state", ENDS)
async def test_finish_ends_the_job(node: NodeHands, place: Place, clock: ManualClock, state: JobState) -> None:
    claimed = await node.start()
    await place.pass_time(1)

    assert await node.finish(claimed, state)

    job = await node.job(claimed.id)
    assert (job.state, job.finished_at, job.lease_until) == (state, clock.wall_ms(), None)
    assert (job.attempt, job.claim_token, job.boot_id) == (1, 1, node.boot_id)


async def test_finish_keeps_result_bytes(node: NodeHands) -> None:
    claimed = await node.start()

    await node.finish(claimed, result=b"\x00result\xff")

    assert (await node.job(claimed.id)).result == b"\x00result\xff"


async def test_finish_tells_an_empty_result_from_none(node: NodeHands) -> None:
    empty, none = await node.start(), await node.start()

    await node.finish(empty, result=b"")
    await node.finish(none, result=None)

    assert (await node.job(empty.id)).result == b""
    assert (await node.job(none.id)).result is None


async def test_finish_keeps_reason_and_error(node: NodeHands, clock: ManualClock) -> None:
    claimed = await node.start()

    await node.finish(claimed, JobState.FAILED, reason="attempts", error=OOPS)

    job = await node.job(claimed.id)
    assert (job.state, job.reason) == (JobState.FAILED, "attempts")
    assert await node.failures(claimed.id) == [Failure(1, 1, node.boot_id, clock.wall_ms(), OOPS)]


async def test_a_finished_job_is_never_claimed_again(node: NodeHands, place: Place) -> None:
    await node.finish(await node.start())
    await place.pass_time(3600)

    assert await node.claim() == []
    assert await node.rescue() == []


async def test_finish_again_with_the_same_end_is_accepted_and_changes_nothing(node: NodeHands, place: Place) -> None:
    claimed = await node.start()
    await node.finish(claimed, JobState.FAILED, reason="attempts", error=OOPS)
    before = await node.observe()
    await place.pass_time(1)

    assert await node.finish(claimed, JobState.FAILED, reason="attempts", error=OOPS)

    assert await node.observe() == before


@pytest.mark.parametrize("other", [state for state in ENDS if state is not JobState.COMPLETED])
async def test_finish_again_with_another_end_is_refused(node: NodeHands, other: JobState) -> None:
    claimed = await node.start()
    await node.finish(claimed, result=b"1")
    before = await node.observe()

    assert not await node.finish(claimed, other)

    assert await node.observe() == before


async def test_finish_twice_in_one_batch_counts_once(store: Store, node: NodeHands) -> None:
    claimed = await node.start()
    end = Finish(claimed.id, claimed.claim_token, claimed.queue, JobState.COMPLETED, 1, b"1")

    assert await store.jobs.finish([end, end], boot_id=node.boot_id) == [True, True]

    assert (await store.queues.counts("default"))[JobState.COMPLETED] == 1


async def test_finish_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    await node.enqueue_many(4)
    claims = await node.claim(4)
    ends = [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, 1) for one in claims]
    ends[1] = ends[1]._replace(claim_token=99)
    ends[2] = ends[2]._replace(id=b"?" * 16)

    answers = await store.jobs.finish(ends, boot_id=node.boot_id)

    assert answers == [True, False, False, True]
    states = [await node.state(claimed.id) for claimed in claims]
    done, running = JobState.COMPLETED, JobState.EXECUTING
    assert states == [done, running, running, done]


async def test_finish_mixes_ends_in_one_batch(store: Store, node: NodeHands) -> None:
    await node.enqueue_many(4)
    claims = await node.claim(4)
    ends = [
        Finish(claimed.id, claimed.claim_token, claimed.queue, state, 1, reason=state.value)
        for claimed, state in zip(claims, ENDS, strict=True)
    ]

    assert await store.jobs.finish(ends, boot_id=node.boot_id) == [True] * 4

    jobs = [await node.job(claimed.id) for claimed in claims]
    assert [(job.state, job.reason) for job in jobs] == [(state, state.value) for state in ENDS]


async def test_finish_of_nothing_and_of_an_unknown_job(store: Store, node: NodeHands) -> None:
    assert await store.jobs.finish([], boot_id=node.boot_id) == []
    end = Finish(b"?" * 16, 1, "default", JobState.COMPLETED, 1)
    assert await store.jobs.finish([end], boot_id=node.boot_id) == [False]


async def test_finish_after_the_lease_ran_out_counts_while_nobody_took_the_job(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(60)

    assert await node.finish(claimed)


async def test_a_handler_that_ends_before_it_learns_of_a_cancel_wins(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    assert await node.finish(claimed, result=b"1")

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.cancel_requested) == (JobState.COMPLETED, None, False)


async def test_finish_as_cancelled_takes_the_reason_of_the_cancel(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    await node.finish(claimed, JobState.CANCELLED)

    assert (await node.job(claimed.id)).reason == "operator"


async def test_finish_as_cancelled_with_a_reason_of_its_own_keeps_that(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id, reason="operator")

    await node.finish(claimed, JobState.CANCELLED, reason="handler said so")

    assert (await node.job(claimed.id)).reason == "handler said so"
