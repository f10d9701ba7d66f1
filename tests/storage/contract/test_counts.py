"""Counters: kept by every transition, equal to a recount of the jobs whatever happened."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import JobFilter
from tests.support.node_hands import ALL, NodeHands, assert_counters_are_true, in_state
from tests.support.stores import Place


async def test_counts_name_every_state_of_an_empty_store(store: Store) -> None:
    assert dict(await store.queues.counts()) == dict.fromkeys(JobState, 0)
    assert dict(await store.queues.counts("nobody")) == dict.fromkeys(JobState, 0)
    assert await store.jobs.count(ALL) == 0


@pytest.mark.parametrize("state", list(JobState))
async def test_counts_follow_a_job_into_every_state(store: Store, node: NodeHands, state: JobState) -> None:
    await in_state(node, state)

    assert dict(await store.queues.counts("default")) == {**dict.fromkeys(JobState, 0), state: 1}


async def test_counts_of_all_queues_are_the_sum(store: Store, node: NodeHands) -> None:
    await node.enqueue_many(3, queue="a")
    await node.enqueue_many(2, queue="b")
    await node.claim(1, queue="b")

    counts = await store.queues.counts()

    assert (counts[JobState.AVAILABLE], counts[JobState.EXECUTING]) == (4, 1)


async def test_count_by_queue_and_states_reads_the_same_numbers(store: Store, node: NodeHands) -> None:
    await node.enqueue_many(3, queue="a")
    await node.claim(1, queue="a")
    await node.enqueue(queue="b")

    assert await store.jobs.count(JobFilter(queue="a")) == 3
    assert await store.jobs.count(JobFilter(frozenset({JobState.AVAILABLE}))) == 3
    assert await store.jobs.count(JobFilter(frozenset({JobState.EXECUTING}), queue="a")) == 1
    assert await store.jobs.count(JobFilter(frozenset({JobState.EXECUTING}), queue="b")) == 0


async def test_refused_writes_count_nothing(store: Store, node: NodeHands, other_node: NodeHands) -> None:
    claimed = await node.start()
    before = dict(await store.queues.counts())

    await other_node.finish(claimed)
    await other_node.retry(claimed)
    await node.finish(claimed._replace(claim_token=9))
    await node.delete(claimed.id)

    assert dict(await store.queues.counts()) == before


@pytest.mark.parametrize("seed", range(6))
async def test_counts_equal_a_recount_after_any_sequence(
    store: Store, node: NodeHands, other_node: NodeHands, place: Place, seed: int
) -> None:
    chance = random.Random(seed)
    known: list[bytes] = []
    held: list[tuple[NodeHands, Claimed]] = []
    for _ in range(120):
        hands = chance.choice([node, other_node])
        queue = chance.choice(["a", "b"])
        match chance.randrange(9):
            case 0 | 1:
                known.append(await hands.enqueue(queue=queue, run_in_s=chance.choice([None, None, 3])))
            case 2 | 3:
                held += [(hands, claimed) for claimed in await hands.claim(3, queue=queue, lease_ms=5_500)]
            case 4 if held:
                holder, claimed = held.pop(chance.randrange(len(held)))
                ends: list[Callable[[Claimed], Awaitable[bool]]]
                ends = [holder.finish, holder.retry, holder.snooze, holder.hand_back]
                await chance.choice(ends)(claimed)
            case 5 if known:
                await hands.cancel(chance.choice(known))
            case 6 if known:
                await chance.choice([hands.revive, hands.delete])(chance.choice(known))
            case 7:
                await hands.rescue(limit=2, max_crashes=2)
            case _:
                await place.pass_time(chance.choice([1, 3, 6]))
    await store.jobs.prune(finished_before=place.clock.wall_ms() - 20_000, limit=5)

    await assert_counters_are_true(store)
