"""Wake-ups: hints that reach the other handles."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from callboard.storage.ports.store import Store
from callboard.storage.records import Wakeup
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands

WORK = Wakeup("work", "default")
CONTROL = Wakeup("control", "mails")


class Ears:
    """What one listener heard. An empty call means "look everywhere" and counts for every hint."""

    def __init__(self) -> None:
        self.calls: list[list[Wakeup]] = []

    def __call__(self, wakeups: Collection[Wakeup]) -> None:
        self.calls.append(list(wakeups))

    def heard(self, wakeup: Wakeup) -> bool:
        return any(not call or wakeup in call for call in self.calls)

    def was_named(self, wakeup: Wakeup) -> bool:
        return any(wakeup in call for call in self.calls)


async def test_announce_reaches_the_other_handle(store: Store, second_store: Store) -> None:
    ears = Ears()
    await second_store.wakeups.listen(ears)

    await store.wakeups.announce([WORK, CONTROL])

    await eventually(lambda: ears.heard(WORK) and ears.heard(CONTROL))


async def test_announce_does_not_reach_its_own_handle(store: Store, second_store: Store) -> None:
    own, other = Ears(), Ears()
    await store.wakeups.listen(own)
    await second_store.wakeups.listen(other)

    await store.wakeups.announce([WORK])
    await eventually(lambda: other.heard(WORK))
    await second_store.wakeups.announce([CONTROL])
    await eventually(lambda: own.heard(CONTROL))

    assert not own.was_named(WORK)


async def test_announce_without_listeners_is_no_error(store: Store, second_store: Store) -> None:
    await store.wakeups.announce([WORK])
    await store.wakeups.announce([])


async def test_a_listener_that_closed_hears_no_more(store: Store, second_store: Store) -> None:
    gone, still = Ears(), Ears()
    await second_store.wakeups.listen(gone)
    await second_store.wakeups.close()
    await store.wakeups.listen(still)

    await store.wakeups.announce([WORK])
    await second_store.wakeups.announce([CONTROL])
    await eventually(lambda: still.heard(CONTROL))

    assert gone.calls == []


async def test_closing_twice_and_without_listening_is_no_error(store: Store) -> None:
    await store.wakeups.close()
    await store.wakeups.close()


async def test_closing_the_store_stops_the_listener(store: Store, second_store: Store) -> None:
    await second_store.wakeups.listen(Ears())

    await second_store.close()
    await store.wakeups.announce([WORK])
    await second_store.close()


async def test_a_hint_that_an_insert_takes_along_is_told_to_the_others_alone(
    node: NodeHands, second_store: Store
) -> None:
    store, own, other = node.store, Ears(), Ears()
    await store.wakeups.listen(own)
    await second_store.wakeups.listen(other)

    hint = store.wakeups.take_along([WORK])
    assert await store.jobs.insert([node.new_job()], hint=hint) == [True]

    assert (hint is not None) == store.wakeups.joins_inserts
    if hint is not None:
        assert not hint.is_lost
        await eventually(lambda: other.was_named(WORK))
    await second_store.wakeups.announce([CONTROL])
    await eventually(lambda: own.heard(CONTROL))
    assert not own.was_named(WORK)


async def test_an_insert_that_creates_nothing_tells_nothing_and_says_so(node: NodeHands, second_store: Store) -> None:
    store, other = node.store, Ears()
    job = node.new_job()
    await node.insert(job)
    await second_store.wakeups.listen(other)

    hint = store.wakeups.take_along([WORK])
    assert await store.jobs.insert([job], hint=hint) == [False]
    assert hint is None or hint.is_lost
    await store.wakeups.announce([CONTROL])

    await eventually(lambda: other.was_named(CONTROL))
    assert not other.was_named(WORK)


async def test_one_insert_takes_a_hint_along_and_those_right_after_it_do_not(store: Store) -> None:
    hints = [store.wakeups.take_along([WORK]) for _ in range(3)]

    assert [hint is not None for hint in hints] == [store.wakeups.joins_inserts, False, False]


async def test_what_was_announced_right_before_the_store_is_closed_is_heard(store: Store, second_store: Store) -> None:
    ears = Ears()
    await store.wakeups.listen(ears)

    await second_store.wakeups.announce([WORK])
    await second_store.wakeups.announce([CONTROL])
    await second_store.close()

    await eventually(lambda: ears.heard(WORK) and ears.heard(CONTROL))


@pytest.mark.parametrize("known_goes_first", [True, False])
async def test_a_hint_stays_lost_whatever_other_inserts_that_take_it_along_come_to(
    node: NodeHands, known_goes_first: bool
) -> None:
    """Inserts of one batch go side by side, with one hint."""
    store = node.store
    known, new = node.new_job(), node.new_job()
    await node.insert(known)
    jobs = [known, new] if known_goes_first else [new, known]

    hint = store.wakeups.take_along([WORK])
    answers = await asyncio.gather(*(store.jobs.insert([job], hint=hint) for job in jobs))

    assert answers == [[not known_goes_first], [known_goes_first]]
    assert hint is None or hint.is_lost
