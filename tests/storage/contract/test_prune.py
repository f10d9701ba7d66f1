"""prune: old ends go, everything else stays."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import TERMINAL, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import JobFilter
from tests.support.node_hands import ALL, NodeHands, in_state
from tests.support.stores import Place


@pytest.mark.parametrize("state", list(JobState))
async def test_prune_removes_terminal_jobs_only(
    store: Store, node: NodeHands, place: Place, clock: ManualClock, state: JobState
) -> None:
    claimed = await in_state(node, state)
    await place.pass_time(1)

    removed = await store.jobs.prune(finished_before=clock.wall_ms() + 3_600_000, limit=10)

    assert removed == (1 if state in TERMINAL else 0)
    assert (await store.jobs.get([claimed.id]) == [None]) is (state in TERMINAL)


async def test_prune_leaves_what_ended_at_or_after_the_bound(
    store: Store, node: NodeHands, place: Place, clock: ManualClock
) -> None:
    old = await in_state(node, JobState.COMPLETED)
    await place.pass_time(1)
    bound = clock.wall_ms()
    new = await in_state(node, JobState.COMPLETED)

    assert await store.jobs.prune(finished_before=bound, limit=10) == 1

    assert await store.jobs.get([old.id]) == [None]
    assert await node.state(new.id) is JobState.COMPLETED


async def test_prune_takes_at_most_the_limit(store: Store, node: NodeHands, place: Place, clock: ManualClock) -> None:
    for _ in range(5):
        await in_state(node, JobState.COMPLETED)
    await place.pass_time(1)

    removed = [await store.jobs.prune(finished_before=clock.wall_ms(), limit=2) for _ in range(4)]

    assert removed == [2, 2, 1, 0]


async def test_prune_counts_from_the_end_not_from_the_insert(
    store: Store, node: NodeHands, place: Place, clock: ManualClock
) -> None:
    claimed = await node.start()
    await place.pass_time(10)
    await node.finish(claimed)

    assert await store.jobs.prune(finished_before=clock.wall_ms(), limit=10) == 0


async def test_prune_removes_failures_too(store: Store, node: NodeHands, clock: ManualClock) -> None:
    claimed = await in_state(node, JobState.RETRYABLE)
    await node.cancel(claimed.id)

    assert await store.jobs.prune(finished_before=clock.wall_ms() + 1, limit=10) == 1

    assert await node.failures(claimed.id) == []


async def test_prune_leaves_a_job_that_was_revived(store: Store, node: NodeHands, clock: ManualClock) -> None:
    claimed = await in_state(node, JobState.FAILED)
    await node.revive(claimed.id)

    assert await store.jobs.prune(finished_before=clock.wall_ms() + 1, limit=10) == 0

    assert (await node.claim_one()).id == claimed.id


async def test_prune_reaches_jobs_that_ended_before_the_clock_went_back(
    store: Store, node: NodeHands, clock: ManualClock
) -> None:
    await in_state(node, JobState.COMPLETED)
    clock.jump_wall(-3600)
    await in_state(node, JobState.COMPLETED)

    assert await store.jobs.prune(finished_before=clock.wall_ms() + 1, limit=10) == 1
    assert await store.jobs.prune(finished_before=clock.wall_ms() + 3_600_001, limit=10) == 1


async def test_prune_of_cancelled_work_leaves_the_line_whole(store: Store, node: NodeHands, clock: ManualClock) -> None:
    ids = await node.enqueue_many(200)
    await store.jobs.cancel(ids[::2], reason="x")

    assert await store.jobs.prune(finished_before=clock.wall_ms() + 1, limit=1000) == 100

    assert await store.jobs.count(ALL) == 100 == await store.jobs.count(JobFilter(frozenset({JobState.AVAILABLE})))
    assert [claimed.id for claimed in await node.claim(1000)] == ids[1::2]
