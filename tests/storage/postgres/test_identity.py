"""Tokens from before mean nothing in a store that was made anew or restored under a handle (F33)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import Corrupt, StorageReset
from callboard.storage.postgres.driver import PostgresStore
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres

pytestmark = pytest.mark.anyio

SCHEMA = "test_identity"


@pytest.fixture
async def handles(clock: ManualClock) -> AsyncIterator[tuple[NodeHands, NodeHands]]:
    """One node, by the handle that it had on a store, and by a handle on the store that was made in its place."""
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    former, fresh = (PostgresStore(postgres.url_of(SCHEMA), clock=clock) for _ in range(2))
    await former.open()
    yield NodeHands(former, clock, boot_id=b"A" * 16), NodeHands(fresh, clock, boot_id=b"A" * 16)
    await former.close()
    await fresh.close()
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


async def make_anew(fresh: NodeHands) -> None:
    await postgres.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
    await fresh.store.open()


async def test_an_old_token_is_refused_where_id_token_and_node_are_the_same(
    handles: tuple[NodeHands, NodeHands],
) -> None:
    """Clients make ids, so a job enqueued again after the wipe is the same job, and its first token is 1 again."""
    former, fresh = handles
    job = former.new_job()
    await former.store.jobs.insert([job])
    old = await former.claim_one()
    await make_anew(fresh)
    await fresh.store.jobs.insert([job])
    new = await fresh.claim_one()
    assert (old.id, old.claim_token) == (new.id, new.claim_token)

    answers = [await former.finish(old), await former.retry(old), await former.snooze(old), await former.hand_back(old)]

    assert answers == [False] * 4
    with pytest.raises(StorageReset, match=r"storage_reset: .*emptied or replaced"):
        await former.beat(old)
    assert await fresh.finish(new)


async def test_nothing_is_claimed_from_the_new_store_by_the_old_handle(handles: tuple[NodeHands, NodeHands]) -> None:
    former, fresh = handles
    await make_anew(fresh)
    await fresh.enqueue()

    assert await former.claim() == []
    assert len(await fresh.claim()) == 1


async def test_dropped_tables_are_told_as_a_reset(handles: tuple[NodeHands, NodeHands]) -> None:
    former, _ = handles
    await postgres.execute(f"DROP SCHEMA {SCHEMA} CASCADE")

    with pytest.raises(StorageReset, match=r"storage_reset: .*dropped"):
        await former.claim()
    with pytest.raises(StorageReset, match="storage_reset: "):
        await former.beat()


@pytest.mark.parametrize("harm", ["TRUNCATE {}.meta", "DELETE FROM {}.meta WHERE name = 'store_id'"])
async def test_a_store_that_was_emptied_is_refused_in_one_line(handles: tuple[NodeHands, NodeHands], harm: str) -> None:
    _, fresh = handles
    await postgres.execute(harm.format(SCHEMA))

    with pytest.raises(Corrupt, match=r"backup|holds what is not Callboard's") as refused:
        await fresh.store.open()

    assert "\n" not in str(refused.value)
