"""What is written because of a role: refused once its term is over, and never committed after the next one began."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import TermOver
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from callboard.storage.role import Term
from tests.support.at_once import in_threads
from tests.support.node_hands import ALL, NodeHands, in_state, without_leases
from tests.support.stores import Place

LEASE_MS = 30_000
DEAD = Node(b"D" * 16, "host", 1, "1", 0)

Write = Callable[[NodeHands, Term], Awaitable[object]]
Over = Callable[[Store, Store, Place, Term], Awaitable[Term]]


async def insert(node: NodeHands, fence: Term) -> object:
    return await node.store.jobs.insert([node.new_job(), node.new_job(run_in_s=5)], fence=fence)


async def insert_nothing(node: NodeHands, fence: Term) -> object:
    return await node.store.jobs.insert([], fence=fence)


async def prune(node: NodeHands, fence: Term) -> object:
    return await node.store.jobs.prune(finished_before=node.clock.wall_ms() + 3_600_000, limit=10, fence=fence)


async def prune_nothing(node: NodeHands, fence: Term) -> object:
    return await node.store.jobs.prune(finished_before=0, limit=0, fence=fence)


async def forget(node: NodeHands, fence: Term) -> None:
    await node.store.nodes.forget([DEAD.boot_id], fence=fence)


async def forget_nothing(node: NodeHands, fence: Term) -> None:
    await node.store.nodes.forget([], fence=fence)


WRITES = [insert, insert_nothing, prune, prune_nothing, forget, forget_nothing]


async def never_granted(store: Store, other: Store, place: Place, term: Term) -> Term:
    return term._replace(role="never")


async def other_holder(store: Store, other: Store, place: Place, term: Term) -> Term:
    return term._replace(holder=b"Z" * 16)


async def number_to_come(store: Store, other: Store, place: Place, term: Term) -> Term:
    return term._replace(number=term.number + 1)


async def resigned(store: Store, other: Store, place: Place, term: Term) -> Term:
    assert await other.roles.resign([term]) == [True]
    return term


async def expired(store: Store, other: Store, place: Place, term: Term) -> Term:
    await place.pass_time(LEASE_MS / 1000)
    return term


async def granted_to_another(store: Store, other: Store, place: Place, term: Term) -> Term:
    await expired(store, other, place, term)
    assert (await take(other, b"B" * 16)).number == term.number + 1
    return term


async def granted_anew(store: Store, other: Store, place: Place, term: Term) -> Term:
    await resigned(store, other, place, term)
    assert (await take(other, term.holder)).number == term.number + 1
    return term


ENDS = [never_granted, other_holder, number_to_come, resigned, expired, granted_to_another, granted_anew]


async def take(store: Store, holder: bytes, *, lease_ms: int = LEASE_MS) -> Term:
    [row] = await store.roles.campaign(["leader"], holder=holder, lease_ms=lease_ms)
    assert row.term is not None
    assert row.holder == holder
    return row.term


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_a_write_with_a_term_that_is_over_is_refused_and_changes_nothing(
    node: NodeHands, second_store: Store, place: Place, write: Write, end: Over
) -> None:
    await in_state(node, JobState.COMPLETED)
    await node.store.nodes.register(DEAD)
    fence = await end(node.store, second_store, place, await take(node.store, node.boot_id))
    before = await without_leases(node), list(await node.store.nodes.list())

    with pytest.raises(TermOver, match=r"^term \d+ of role '\w+' is over: .* nothing was written$") as refused:
        await write(node, fence)

    assert refused.value.term == fence
    assert (await without_leases(node), list(await node.store.nodes.list())) == before


async def test_writes_with_a_term_that_runs_take_effect(node: NodeHands, place: Place, clock: ManualClock) -> None:
    await in_state(node, JobState.COMPLETED)
    await node.store.nodes.register(DEAD)
    await place.pass_time(1)
    fence = await take(node.store, node.boot_id)
    jobs = [node.new_job(), node.new_job(run_in_s=5)]

    assert await node.store.jobs.insert(jobs, fence=fence) == [True, True]
    assert await node.store.jobs.insert([*jobs, node.new_job()], fence=fence) == [False, False, True]
    assert await node.store.jobs.insert([], fence=fence) == []
    assert await node.store.jobs.prune(finished_before=clock.wall_ms(), limit=10, fence=fence) == 1
    await node.store.nodes.forget([DEAD.boot_id], fence=fence)

    assert len(await node.store.jobs.select(ALL, limit=10)) == 3
    assert list(await node.store.nodes.list()) == []


async def test_a_renewed_term_goes_on_being_a_fence(node: NodeHands, place: Place) -> None:
    fence = await take(node.store, node.boot_id)
    for _ in range(3):
        await place.pass_time(20)
        await node.store.roles.renew([fence], lease_ms=LEASE_MS)

    assert await node.store.jobs.insert([node.new_job()], fence=fence) == [True]


async def test_a_refused_write_spoils_none_beside_it(node: NodeHands, second_store: Store) -> None:
    fence = await take(node.store, node.boot_id)
    over = fence._replace(number=0)
    jobs = node.store.jobs

    answers = await asyncio.gather(
        jobs.insert([node.new_job()]),
        jobs.insert([node.new_job()], fence=over),
        jobs.insert([node.new_job()], fence=fence),
        jobs.prune(finished_before=1, limit=1, fence=over),
        jobs.prune(finished_before=1, limit=1, fence=fence),
        node.store.nodes.forget([DEAD.boot_id], fence=over),
        node.store.nodes.forget([DEAD.boot_id], fence=fence),
        jobs.insert([node.new_job()]),
        return_exceptions=True,
    )

    shown = ["over" if isinstance(answer, TermOver) else answer for answer in answers]
    assert shown == [[True], "over", [True], "over", 0, "over", None, [True]]
    assert len(await jobs.select(ALL, limit=10)) == 3


async def test_what_a_term_wrote_is_there_before_the_next_one_begins(place: Place, store: Store) -> None:
    """The old leader writes without a pause and is never told: when the next one has its term, nothing follows."""
    rounds, turn = 30, threading.Barrier(2)
    terms: list[Term] = []
    has_written = threading.Event()

    async def old(hands: NodeHands) -> list[int]:
        refusals = []
        for _ in range(rounds):
            terms.append(await take(hands.store, hands.boot_id))
            turn.wait(timeout=30)
            written = 0
            while True:
                try:
                    await hands.store.jobs.insert([hands.new_job()], fence=terms[-1])
                except TermOver:
                    break
                written += 1
                has_written.set()
                await asyncio.sleep(0)  # where all is done in memory, nothing else lets the other thread run
            refusals.append(written)
            turn.wait(timeout=30)
            turn.wait(timeout=30)
        return refusals

    async def new(hands: NodeHands) -> list[int]:
        late = []
        for _ in range(rounds):
            turn.wait(timeout=30)
            await asyncio.get_running_loop().run_in_executor(None, has_written.wait, 30)
            await hands.store.roles.resign(terms[-1:])
            term = await take(hands.store, hands.boot_id)
            at_grant = await hands.store.jobs.count(ALL)
            turn.wait(timeout=30)
            has_written.clear()
            late.append(await hands.store.jobs.count(ALL) - at_grant)
            assert await hands.store.roles.resign([term]) == [True]
            turn.wait(timeout=30)
        return late

    written, late = await in_threads(place, old, new)

    assert all(written)
    assert late == [0] * rounds
