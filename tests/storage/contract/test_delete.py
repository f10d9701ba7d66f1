"""delete: a job and all that belongs to it is gone."""

from __future__ import annotations

import pytest

from callboard.storage.job import TERMINAL, WAITING, JobState
from callboard.storage.ports.store import Store
from tests.support.node_hands import ALL, NodeHands, in_state
from tests.support.stores import Place


@pytest.mark.parametrize("state", sorted(TERMINAL | WAITING))
async def test_delete_removes_the_job(store: Store, node: NodeHands, place: Place, state: JobState) -> None:
    claimed = await in_state(node, state)

    assert await node.delete(claimed.id)

    assert await store.jobs.get([claimed.id]) == [None]
    assert await store.jobs.count(ALL) == 0
    await place.pass_time(3600)
    assert await node.claim() == []
    assert (await node.ask()).next_run_at is None


async def test_delete_removes_the_failures(node: NodeHands) -> None:
    claimed = await in_state(node, JobState.RETRYABLE)
    assert await node.failures(claimed.id) != []

    await node.delete(claimed.id)

    assert await node.failures(claimed.id) == []


async def test_delete_refuses_an_executing_job(node: NodeHands) -> None:
    claimed = await node.start()
    before = await node.observe()

    assert not await node.delete(claimed.id)

    assert await node.observe() == before
    assert await node.finish(claimed)


async def test_delete_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    executing = await node.start()
    waiting = await node.enqueue()

    assert await store.jobs.delete([b"?" * 16, waiting, executing.id, waiting]) == [False, True, False, False]
    assert await store.jobs.delete([]) == []


async def test_deleting_from_the_middle_leaves_the_others_in_order(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(300)

    await store.jobs.delete(ids[50:250])

    assert [claimed.id for claimed in await node.claim(300)] == ids[:50] + ids[250:]


async def test_a_queue_stays_when_its_jobs_are_gone(store: Store, node: NodeHands) -> None:
    await node.delete(await node.enqueue())

    [row] = await store.queues.list()

    assert (row.name, sum(row.counts.values()), row.oldest_run_at) == ("default", 0, None)


async def test_failures_of_a_former_job_do_not_come_back_with_its_id(store: Store, node: NodeHands) -> None:
    claimed = await in_state(node, JobState.RETRYABLE)
    await node.delete(claimed.id)

    await store.jobs.insert([node.new_job()._replace(id=claimed.id)])

    assert await node.failures(claimed.id) == []
    job = await node.job(claimed.id)
    assert (job.state, job.attempt, job.claim_token) == (JobState.AVAILABLE, 0, 0)
