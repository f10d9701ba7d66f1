"""Zombies: whoever lost a lease writes nothing any more, whichever way it was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Finish, HandBack, Retry, Snooze
from tests.support.node_hands import ALL, OOPS, NodeHands
from tests.support.stores import Place

STALE = 1000
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


async def test_a_thousand_stale_writes_of_every_verb_are_refused_each(
    store: Store, node: NodeHands, other_node: NodeHands, place: Place
) -> None:
    """F05: a thousand jobs lost by one node and run by another; the first, and each that names a wrong half of the
    fence, tries every way to write. Renewals and progress are refused as lost.
    """
    await node.enqueue_many(STALE)
    stale = await node.claim(STALE)
    await place.pass_time(40)
    assert len(await node.rescue()) == STALE
    fresh = await other_node.claim(STALE)
    before = await seen(store, fresh)
    due = place.clock.wall_ms() + 1
    jobs = store.jobs

    for boot_id, claims in ((node.boot_id, stale), (node.boot_id, fresh), (other_node.boot_id, stale)):
        ends = [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, 1, b"zombie") for one in claims]
        retries = [Retry(one.id, one.claim_token, one.queue, 1, due, OOPS) for one in claims]
        snoozes = [Snooze(one.id, one.claim_token, one.queue, due) for one in claims]
        hand_backs = [HandBack(one.id, one.claim_token, one.queue) for one in claims]
        answers = {
            "finish": await jobs.finish(ends, boot_id=boot_id),
            "retry": await jobs.retry(retries, boot_id=boot_id),
            "snooze": await jobs.snooze(snoozes, boot_id=boot_id),
            "hand back": await jobs.hand_back(hand_backs, boot_id=boot_id),
        }
        assert {verb: given.count(False) for verb, given in answers.items()} == dict.fromkeys(answers, STALE)
    beat = await node.beat(*stale, progress=b"zombie")

    assert sorted(beat.lost) == [claimed.id for claimed in stale]
    assert await seen(store, fresh) == before
    ends = [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, 1, b"live") for one in fresh]
    assert all(await jobs.finish(ends, boot_id=other_node.boot_id))


async def seen(store: Store, claims: list[Claimed]) -> object:
    """Every job, what failed in some of them, every counter."""
    some = [await store.jobs.failures(claimed.id) for claimed in claims[::50]]
    return await store.jobs.select(ALL, limit=2 * STALE), some, await store.queues.list()


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
