"""Counters that are appended to and folded, and busy tables that are vacuumed."""

from __future__ import annotations

import asyncio

import asyncpg

from callboard.storage.job import JobState
from callboard.storage.postgres.driver import PostgresStore
from tests.support.node_hands import NodeHands, assert_counters_are_true
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

from .conftest import Opener


async def rows_of_counts(place: PostgresPlace) -> int:
    connection = await asyncpg.connect(postgres.url())
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {place.schema}.counts"))
    finally:
        await connection.close()


async def test_folding_changes_no_counter(store: PostgresStore, node: NodeHands, place: PostgresPlace) -> None:
    for _ in range(10):
        await node.enqueue()
    for claimed in await node.claim(4):
        await node.finish(claimed)
    before = dict(await store.queues.counts())

    await store.upkeep.fold()

    assert dict(await store.queues.counts()) == before
    assert before[JobState.COMPLETED] == 4
    assert await rows_of_counts(place) == 2  # available and completed: what came to nothing is gone
    await assert_counters_are_true(store)


async def test_folders_at_once_count_each_row_once(
    store: PostgresStore, node: NodeHands, open_store: Opener, place: PostgresPlace
) -> None:
    others = [await open_store() for _ in range(3)]
    for _ in range(100):
        await node.enqueue()

    await asyncio.gather(*(one.upkeep.fold() for one in [store, *others] for _ in range(5)), node.enqueue_many(50))

    assert (await store.queues.counts())[JobState.AVAILABLE] == 150


async def test_vacuum_goes_beside_work(store: PostgresStore, node: NodeHands) -> None:
    await node.enqueue_many(200)

    claims, _ = await asyncio.gather(node.claim(200), store.upkeep.vacuum())

    assert len(claims) == 200
