"""Zombies: whoever lost a lease writes nothing any more, whichever way it was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Finish, HandBack, Retry, Snooze
from tests.support.node_hands import OOPS, NodeHands
from tests.support.stores import Place

Loss = Callable[[NodeHands, NodeHands, Place, Claimed], Awaitable[None]]


async def rescued(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await place.pass_time(40)
    assert len(await other.rescue()) == 1


async def poisoned(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await place.pass_time(40)
    assert [one.state for one in await other.rescue(max_crashes=1)] == [JobState.FAILED]


async def taken_by_another_node(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await rescued(zombie, other, place, claimed)
    assert (await other.claim_one()).id == claimed.id


async def taken_again_by_itself(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await rescued(zombie, other, place, claimed)
    assert (await zombie.claim_one()).id == claimed.id


async def finished_by_another_node(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await rescued(zombie, other, place, claimed)
    assert await other.finish(await other.claim_one(), JobState.DISCARDED)


async def handed_back_and_taken(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.hand_back(claimed)
    assert (await other.claim_one()).id == claimed.id


async def retried_and_taken(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.retry(claimed, run_in_s=1)
    await place.pass_time(1)
    assert (await zombie.claim_one()).id == claimed.id


async def snoozed_and_taken(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.snooze(claimed, run_in_s=1)
    await place.pass_time(1)
    assert (await other.claim_one()).id == claimed.id


async def rescued_and_cancelled(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await rescued(zombie, other, place, claimed)
    await other.cancel(claimed.id)


async def handed_back_and_cancelled(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.hand_back(claimed)
    await other.cancel(claimed.id)


async def handed_back_and_revived(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.hand_back(claimed)
    assert await other.revive(claimed.id)


async def finished_and_revived(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    assert await zombie.finish(claimed)
    assert await other.revive(claimed.id)


async def deleted(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    await rescued(zombie, other, place, claimed)
    assert await other.delete(claimed.id)


async def deleted_and_made_anew(zombie: NodeHands, other: NodeHands, place: Place, claimed: Claimed) -> None:
    """The new job's first claim has the old token; the boot id tells them apart."""
    await deleted(zombie, other, place, claimed)
    await other.store.jobs.insert([other.new_job()._replace(id=claimed.id)])
    assert (await other.claim_one()).claim_token == claimed.claim_token


LOSSES: list[Loss] = [
    rescued,
    poisoned,
    taken_by_another_node,
    taken_again_by_itself,
    finished_by_another_node,
    handed_back_and_taken,
    retried_and_taken,
    snoozed_and_taken,
    rescued_and_cancelled,
    handed_back_and_cancelled,
    handed_back_and_revived,
    finished_and_revived,
    deleted,
    deleted_and_made_anew,
]


@pytest.mark.parametrize("lose", LOSSES, ids=lambda loss: loss.__name__)
async def test_a_zombie_writes_nothing(node: NodeHands, other_node: NodeHands, place: Place, lose: Loss) -> None:
    claimed = await node.start()
    await lose(node, other_node, place, claimed)
    before = await node.observe()

    answers = [
        *[await node.finish(claimed, state, result=b"zombie") for state in JobState if state.is_terminal],
        await node.retry(claimed),
        await node.snooze(claimed),
        await node.hand_back(claimed),
        await node.hand_back(claimed, run_in_s=5),
    ]
    beat = await node.beat(claimed, progress=b"zombie")

    assert answers == [False] * 8
    assert beat.lost == [claimed.id]
    assert await node.observe() == before


async def test_a_thousand_stale_writes_are_refused_each(
    store: Store, node: NodeHands, other_node: NodeHands, place: Place
) -> None:
    await node.enqueue_many(100)
    stale = await node.claim(100)
    await place.pass_time(40)
    assert len(await node.rescue()) == 100
    fresh = await other_node.claim(100)
    before = await node.observe()
    due = place.clock.wall_ms() + 1

    refused = 0
    for boot_id, claims in ((node.boot_id, stale), (node.boot_id, fresh), (other_node.boot_id, stale)):
        answers = [
            *await store.jobs.finish(
                [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, 1, b"zombie") for one in claims],
                boot_id=boot_id,
            ),
            *await store.jobs.retry(
                [Retry(one.id, one.claim_token, one.queue, 1, due, OOPS) for one in claims], boot_id=boot_id
            ),
            *await store.jobs.snooze(
                [Snooze(one.id, one.claim_token, one.queue, due) for one in claims], boot_id=boot_id
            ),
            *await store.jobs.hand_back(
                [HandBack(one.id, one.claim_token, one.queue) for one in claims], boot_id=boot_id
            ),
        ]
        assert not any(answers)
        refused += len(answers)

    assert refused == 1_200
    assert await node.observe() == before
    assert all([await other_node.finish(claimed) for claimed in fresh])


async def test_the_token_only_grows_whatever_happens(node: NodeHands, place: Place) -> None:
    job_id = await node.enqueue()
    tokens = []
    for turn in range(12):
        claimed = await node.claim_one(lease_ms=1_000)
        tokens.append(claimed.claim_token)
        match turn % 6:
            case 0:
                await node.hand_back(claimed)
            case 1:
                await node.retry(claimed, run_in_s=0)
            case 2:
                await node.snooze(claimed, run_in_s=0)
            case 3:
                await place.pass_time(2)
                await node.rescue()
            case 4:
                await node.finish(claimed)
                await node.revive(job_id)
            case _:
                await node.hand_back(claimed)
                await node.cancel(job_id)
                await node.revive(job_id)

    assert tokens == list(range(1, 13))
