"""revive: an operator starts a job anew."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import TERMINAL, WAITING, JobState
from callboard.storage.ports.store import Store
from tests.support.node_hands import OOPS, NodeHands, in_state
from tests.support.stores import Place


@pytest.mark.parametrize("state", sorted(TERMINAL | WAITING))
async def test_revive_makes_the_job_available_with_a_full_budget(node: NodeHands, state: JobState) -> None:
    claimed = await in_state(node, state)

    assert await node.revive(claimed.id)

    job = await node.job(claimed.id)
    assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)
    again = await node.claim_one()
    assert (again.id, again.attempt, again.claim_token) == (claimed.id, 1, 2)


async def test_revive_clears_what_the_former_life_left_but_its_failures(
    node: NodeHands, place: Place, clock: ManualClock
) -> None:
    claimed = await node.start()
    inserted_at = clock.wall_ms()
    await node.beat(claimed, progress=b"half")
    await node.finish(claimed, JobState.FAILED, result=b"x", reason="attempts", error=OOPS)
    await place.pass_time(60)

    await node.revive(claimed.id)

    job = await node.job(claimed.id)
    assert (job.result, job.reason, job.progress, job.started_at, job.finished_at) == (None,) * 5
    assert (job.run_at, job.inserted_at, job.boot_id) == (clock.wall_ms(), inserted_at, None)
    assert job.payload == b"args"
    assert len(await node.failures(claimed.id)) == 1


async def test_a_revived_job_queues_behind_what_waits(node: NodeHands, place: Place) -> None:
    ended = await in_state(node, JobState.FAILED)
    await place.pass_time(1)
    waiting = await node.enqueue()
    await place.pass_time(1)

    await node.revive(ended.id)

    assert [claimed.id for claimed in await node.claim()] == [waiting, ended.id]


async def test_revive_of_an_available_job_keeps_its_place(node: NodeHands, place: Place) -> None:
    first = await node.enqueue()
    await place.pass_time(1)
    second = await node.enqueue()
    await place.pass_time(1)

    assert await node.revive(first)

    assert [claimed.id for claimed in await node.claim()] == [first, second]


async def test_revive_after_cancel_puts_the_job_in_line_once(node: NodeHands) -> None:
    job_id = await node.enqueue()
    for _ in range(5):
        await node.cancel(job_id)
        assert await node.revive(job_id)

    assert [claimed.id for claimed in await node.claim()] == [job_id]
    assert await node.claim() == []


async def test_a_revived_scheduled_job_does_not_come_again_when_it_was_due(node: NodeHands, place: Place) -> None:
    job_id = await node.enqueue(run_in_s=10)
    await node.revive(job_id)
    claimed = await node.claim_one()
    await node.snooze(claimed, run_in_s=60)

    await place.pass_time(11)

    assert await node.claim() == []
    await place.pass_time(60)
    assert [again.id for again in await node.claim()] == [job_id]
    assert await node.claim() == []


async def test_revive_refuses_an_executing_job(node: NodeHands) -> None:
    claimed = await node.start()
    before = await node.observe()

    assert not await node.revive(claimed.id)

    assert await node.observe() == before


async def test_revive_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    executing = await node.start()
    ended = await in_state(node, JobState.CANCELLED)

    assert await store.jobs.revive([b"?" * 16, ended.id, executing.id]) == [False, True, False]
    assert await store.jobs.revive([]) == []


async def test_revive_again_changes_nothing(node: NodeHands) -> None:
    ended = await in_state(node, JobState.DISCARDED)
    await node.revive(ended.id)
    before = await node.observe()

    assert await node.revive(ended.id)

    assert await node.observe() == before
    assert len(await node.claim()) == 1


async def test_a_poisoned_job_gets_new_crashes(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(2)
    await node.rescue(max_crashes=1)

    await node.revive(claimed.id)

    await node.claim_one(lease_ms=1_000)
    await place.pass_time(2)
    assert [rescued.state for rescued in await node.rescue(max_crashes=2)] == [JobState.AVAILABLE]
