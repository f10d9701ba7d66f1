"""Roles: one holder at a time, for as long as its lease runs, in terms whose numbers only grow."""

from __future__ import annotations

import asyncio
import threading

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from callboard.storage.role import RoleRow, Term
from tests.support.at_once import in_threads
from tests.support.node_hands import NodeHands
from tests.support.stores import Place

A, B, C = (letter * 16 for letter in (b"A", b"B", b"C"))
LEASE_MS = 30_000
ODD_NAMES = [
    "",
    " ",
    "janitor",
    "Janitor",
    "'; DROP TABLE roles; --",
    "{other}:*",
    "/*each*/ ? /*end*/",
    "$1 %s :name\n\ttab",
    "nul\0",
    "nul\ufffd",
    "half \ud83e",
    "caf\u00e9",
    "cafe\u0301",
    "\U0001f916",
    "long" * 250,
]


async def take(store: Store, role: str = "janitor", *, holder: bytes = A, lease_ms: int = LEASE_MS) -> Term:
    """The term that a campaign met or won."""
    [row] = await store.roles.campaign([role], holder=holder, lease_ms=lease_ms)
    assert row.term is not None
    return row.term


async def stand(store: Store, role: str = "janitor") -> RoleRow:
    [row] = [row for row in await store.roles.list() if row.role == role]
    return row


async def test_a_free_role_is_granted_in_its_first_term(store: Store) -> None:
    [row] = await store.roles.campaign(["janitor"], holder=A, lease_ms=LEASE_MS)

    assert row[:3] == ("janitor", A, 1)
    assert 0 < row.expires_in_ms <= LEASE_MS
    assert row.term == Term("janitor", A, 1)
    assert (await stand(store))[:3] == row[:3]


async def test_a_held_role_is_answered_as_it_stands(store: Store, second_store: Store) -> None:
    await take(store)

    assert await take(second_store, holder=B) == Term("janitor", A, 1)


async def test_a_campaign_whose_reply_was_lost_finds_its_own_term_and_renews_nothing(
    store: Store, place: Place
) -> None:
    await take(store)
    await place.pass_time(10)

    [row] = await store.roles.campaign(["janitor"], holder=A, lease_ms=LEASE_MS)

    assert row.term == Term("janitor", A, 1)
    assert row.expires_in_ms <= LEASE_MS - 10_000


async def test_a_term_ends_with_its_lease_and_the_next_is_greater(
    store: Store, second_store: Store, place: Place
) -> None:
    await take(store)
    await place.pass_time(LEASE_MS / 1000)

    assert await stand(store) == RoleRow("janitor", None, 1, 0)
    assert await take(second_store, holder=B) == Term("janitor", B, 2)


async def test_the_same_holder_gets_a_new_term_once_its_last_is_over(store: Store, place: Place) -> None:
    terms = [await take(store)]
    await place.pass_time(60)
    terms.append(await take(store))
    await store.roles.resign(terms[-1:])
    terms.append(await take(store))

    assert terms == [Term("janitor", A, number) for number in (1, 2, 3)]


async def test_renewing_lets_the_lease_run_from_now(store: Store, place: Place) -> None:
    term = await take(store)

    for _ in range(3):
        await place.pass_time(20)
        assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]

    assert (await stand(store)).term == term
    assert (await stand(store)).expires_in_ms > LEASE_MS - 20_000
    await place.pass_time(LEASE_MS / 1000)
    assert (await stand(store)).term is None


async def test_a_term_that_is_over_never_begins_again(store: Store, place: Place) -> None:
    term = await take(store)
    await place.pass_time(LEASE_MS / 1000)

    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [False]

    assert await stand(store) == RoleRow("janitor", None, 1, 0)
    assert await store.roles.resign([term]) == [False]


async def test_resigning_ends_the_term_now(store: Store, second_store: Store) -> None:
    term = await take(store)

    assert await store.roles.resign([term]) == [True]

    assert await stand(second_store) == RoleRow("janitor", None, 1, 0)
    assert await store.roles.resign([term]) == [False]
    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [False]
    assert await take(second_store, holder=B) == Term("janitor", B, 2)


@pytest.mark.parametrize(
    "wrong",
    [Term("janitor", A, 1), Term("janitor", A, 3), Term("janitor", B, 2), Term("other", A, 2), Term("Janitor", A, 2)],
    ids=["old number", "number to come", "other holder", "never granted", "other name"],
)
async def test_only_the_very_term_is_renewed_or_ended(store: Store, wrong: Term) -> None:
    await store.roles.resign([await take(store)])
    term = await take(store, lease_ms=10_000)

    assert await store.roles.renew([wrong], lease_ms=LEASE_MS) == [False]
    assert await store.roles.resign([wrong]) == [False]

    assert [row.term for row in await store.roles.list()] == [term]
    assert (await stand(store)).expires_in_ms <= 10_000


async def test_a_batch_is_answered_in_the_order_asked(store: Store, second_store: Store) -> None:
    await take(store, "b", holder=B)

    rows = await store.roles.campaign(["c", "b", "a", "c"], holder=A, lease_ms=LEASE_MS)

    assert [row.term for row in rows] == [Term("c", A, 1), Term("b", B, 1), Term("a", A, 1), Term("c", A, 1)]
    mine = [Term("c", A, 1), Term("b", A, 1), Term("a", A, 1), Term("c", A, 1)]
    assert await store.roles.renew(mine, lease_ms=LEASE_MS) == [True, False, True, True]
    assert await second_store.roles.resign(mine) == [True, False, True, False]
    assert [(row.role, row.holder) for row in await store.roles.list()] == [("a", None), ("b", B), ("c", None)]


async def test_an_empty_batch_is_answered_empty(store: Store) -> None:
    assert await store.roles.campaign([], holder=A, lease_ms=LEASE_MS) == []
    assert await store.roles.renew([], lease_ms=LEASE_MS) == []
    assert await store.roles.resign([]) == []
    assert list(await store.roles.list()) == []


async def test_a_large_batch_takes_effect_whole(store: Store) -> None:
    names = [f"shard.{number:03}" for number in range(300)]

    rows = await store.roles.campaign(names, holder=A, lease_ms=LEASE_MS)

    assert [row.term for row in rows] == [Term(name, A, 1) for name in names]
    assert [row.term for row in await store.roles.list()] == [row.term for row in rows]


async def test_a_name_may_be_any_text(store: Store) -> None:
    rows = await store.roles.campaign(ODD_NAMES, holder=A, lease_ms=LEASE_MS)

    terms = [Term(name, A, 1) for name in ODD_NAMES]
    assert [row.term for row in rows] == terms
    assert [row.term for row in await store.roles.list()] == sorted(terms)
    assert await store.roles.renew(terms, lease_ms=LEASE_MS) == [True] * len(terms)
    assert await store.roles.resign(terms[1:]) == [True] * (len(terms) - 1)
    assert [row.role for row in await store.roles.list() if row.term is not None] == [ODD_NAMES[0]]


async def test_roles_need_no_row_of_a_node_and_outlive_it(store: Store) -> None:
    await store.nodes.register(Node(A, "host", 1, "1", 0))
    term = await take(store)

    await store.nodes.forget([A])

    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]
    await store.roles.resign([term])
    assert (await take(store)).number == 2


async def test_a_role_outlives_the_handle_that_took_it(store: Store, place: Place) -> None:
    other = place.handle()
    await other.open()
    term = await take(other)
    await other.close()

    assert (await stand(store)).term == term
    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]


async def test_five_that_race_for_a_role_agree_on_who_has_it(place: Place, store: Store) -> None:
    """F50: 200 rounds, and in each one holder, whose term is greater than all before."""
    nodes, rounds = 5, 200
    together = threading.Barrier(nodes)

    async def race(hands: NodeHands) -> list[Term | None]:
        seen: list[Term | None] = []
        for _ in range(rounds):
            together.wait(timeout=30)
            [row] = await hands.store.roles.campaign(["leader"], holder=hands.boot_id, lease_ms=LEASE_MS)
            seen.append(row.term)
            together.wait(timeout=30)
            if row.term is not None and row.holder == hands.boot_id:
                assert await hands.store.roles.resign([row.term]) == [True]
        return seen

    answers = await in_threads(place, *[race] * nodes)

    assert len({tuple(seen) for seen in answers}) == 1, "some saw another holder"
    assert [term.number for term in answers[0] if term is not None] == list(range(1, rounds + 1))


async def test_no_two_hold_a_role_at_once(place: Place, store: Store) -> None:
    """Each that holds it is alone until it has resigned, though the others never pause."""
    terms: list[Term] = []
    alone = threading.Lock()

    async def strive(hands: NodeHands) -> None:
        while len(terms) < 200:
            [row] = await hands.store.roles.campaign(["leader"], holder=hands.boot_id, lease_ms=LEASE_MS)
            term = row.term
            if term is None or term.holder != hands.boot_id:
                continue
            assert alone.acquire(blocking=False), f"{term} began while another ran"
            terms.append(term)
            await asyncio.sleep(0)  # where somebody else could be granted it
            assert await hands.store.roles.renew([term], lease_ms=LEASE_MS) == [True]
            alone.release()
            assert await hands.store.roles.resign([term]) == [True]

    await in_threads(place, *[strive] * 5)

    assert [term.number for term in terms] == list(range(1, len(terms) + 1))


async def test_leases_that_run_out_under_a_race_give_one_holder_for_each_term(place: Place, store: Store) -> None:
    """Holders that vanish: nobody resigns, every term ends by its lease, by the clock of the store."""
    holders: dict[int, set[bytes]] = {}
    noting = threading.Lock()

    async def strive(hands: NodeHands) -> list[int]:
        numbers: list[int] = []
        while len(holders) < 30:
            [row] = await hands.store.roles.campaign(["leader"], holder=hands.boot_id, lease_ms=5)
            if isinstance(row.holder, bytes):
                numbers.append(row.number)
                with noting:
                    holders.setdefault(row.number, set()).add(row.holder)
            if isinstance(place.clock, ManualClock):  # a server's clock goes on by itself
                with noting:
                    place.clock.advance(0.001)
        return numbers

    answers = await in_threads(place, *[strive] * 3)

    assert [len(found) for found in holders.values()] == [1] * len(holders)
    for numbers in answers:
        assert numbers == sorted(numbers), "a later answer had an earlier term"
