"""cancel: at once for what waits, by request for what executes."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import TERMINAL, WAITING, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import CancelAnswer
from tests.support.node_hands import NodeHands, in_state, without_leases
from tests.support.stores import Place


@pytest.mark.parametrize("state", sorted(WAITING))
async def test_cancel_ends_a_waiting_job(node: NodeHands, place: Place, clock: ManualClock, state: JobState) -> None:
    claimed = await in_state(node, state)

    assert await node.cancel(claimed.id, reason="not wanted") is CancelAnswer.CANCELLED

    job = await node.job(claimed.id)
    assert (job.state, job.reason, job.finished_at) == (JobState.CANCELLED, "not wanted", clock.wall_ms())
    await place.pass_time(3600)
    assert await node.claim() == []


async def test_cancel_only_marks_an_executing_job(node: NodeHands) -> None:
    claimed = await node.start()

    assert await node.cancel(claimed.id) is CancelAnswer.REQUESTED

    job = await node.job(claimed.id)
    assert (job.state, job.cancel_requested) == (JobState.EXECUTING, True)
    assert (job.finished_at, job.claim_token) == (None, 1)


@pytest.mark.parametrize("state", sorted(TERMINAL - {JobState.CANCELLED}))
async def test_cancel_comes_too_late_for_an_ended_job(node: NodeHands, state: JobState) -> None:
    claimed = await in_state(node, state)
    before = await node.observe()

    assert await node.cancel(claimed.id) is CancelAnswer.TOO_LATE

    assert await node.observe() == before


async def test_cancel_again_answers_the_same(node: NodeHands, place: Place) -> None:
    waiting, executing = await node.enqueue(run_in_s=60), await node.start()
    first = [await node.cancel(job_id) for job_id in (waiting, executing.id)]
    before = await without_leases(node)
    await place.pass_time(1)

    assert [await node.cancel(job_id) for job_id in (waiting, executing.id)] == first

    assert await without_leases(node) == before


async def test_cancel_answers_each_job_in_the_order_asked(store: Store, node: NodeHands) -> None:
    executing = await node.start()
    ended = await in_state(node, JobState.COMPLETED)
    waiting = await node.enqueue()

    answers = await store.jobs.cancel([executing.id, b"?" * 16, waiting, ended.id], reason="x")

    assert answers == [CancelAnswer.REQUESTED, CancelAnswer.MISSING, CancelAnswer.CANCELLED, CancelAnswer.TOO_LATE]
    assert await store.jobs.cancel([], reason="x") == []


async def test_cancelling_one_of_many_leaves_the_others_in_order(node: NodeHands) -> None:
    ids = await node.enqueue_many(10)

    for index in (0, 4, 9):
        await node.cancel(ids[index])

    expected = [job_id for index, job_id in enumerate(ids) if index not in (0, 4, 9)]
    assert [claimed.id for claimed in await node.claim()] == expected


async def test_cancel_works_on_a_paused_queue(store: Store, node: NodeHands) -> None:
    job_id = await node.enqueue()
    await store.queues.pause(["default"])

    assert await node.cancel(job_id) is CancelAnswer.CANCELLED


async def test_a_new_claim_of_a_revived_job_is_not_asked_to_stop(node: NodeHands) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id)
    await node.finish(claimed, JobState.CANCELLED)
    await node.revive(claimed.id)

    again = await node.claim_one()

    assert (await node.beat(again)).cancel_requested == []


async def test_cancel_of_a_whole_backlog(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(1000)

    assert set(await store.jobs.cancel(ids[:900], reason="x")) == {CancelAnswer.CANCELLED}

    assert [claimed.id for claimed in await node.claim(1000)] == ids[900:]
