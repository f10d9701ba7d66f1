"""Every test here runs on every store. The fixtures `store`, `node` and `other_node` are all that most tests need.

Each test ends with a recount: whatever it did, the counters must agree with the jobs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.ports.store import Store
from tests.support.node_hands import NodeHands, assert_counters_are_true
from tests.support.stores import PLACES, Place


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=list(PLACES))
async def place(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Place]:
    """Where this test's store is, and how time passes there."""
    kind = PLACES[request.param]
    if (why := kind.missing()) is not None:
        pytest.skip(why)
    async with kind.made(tmp_path, clock) as place:
        yield place


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    store = place.handle()
    await store.open()
    yield store
    await assert_counters_are_true(store)
    await store.close()


@pytest.fixture
async def second_store(place: Place, store: Store) -> AsyncIterator[Store]:
    """A further handle on the same jobs."""
    second = place.handle()
    await second.open()
    yield second
    await second.close()


@pytest.fixture
def node(store: Store, clock: ManualClock) -> NodeHands:
    return NodeHands(store, clock, boot_id=b"A" * 16, seed=1)


@pytest.fixture
def other_node(second_store: Store, clock: ManualClock) -> NodeHands:
    """A node of its own, with its own handle."""
    return NodeHands(second_store, clock, boot_id=b"B" * 16, seed=2)
