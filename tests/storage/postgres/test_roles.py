"""Roles on PostgreSQL: a fence that holds until its commit, and calls that nothing else of the process holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import StorageReset, TermOver, Unavailable
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.role import Term
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

from .conftest import Opener

T = TypeVar("T")
A, B = b"A" * 16, b"B" * 16


async def take(store: PostgresStore, *, holder: bytes = A, lease_ms: int = 30_000) -> Term:
    [row] = await store.roles.campaign(["leader"], holder=holder, lease_ms=lease_ms)
    assert row.term is not None
    return row.term


class Blocked:
    """A transaction that keeps the table of jobs to itself."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    async def __aenter__(self) -> None:
        self._connection = await asyncpg.connect(postgres.url())
        await self._connection.execute(f"BEGIN; LOCK TABLE {self._schema}.jobs IN ACCESS EXCLUSIVE MODE")

    async def __aexit__(self, *raised: object) -> None:
        await self._connection.execute("ROLLBACK")
        await self._connection.close()


async def waiting_inserts(schema: str) -> int:
    connection = await asyncpg.connect(postgres.url())
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
        return int(await connection.fetchval(query, f'%INSERT INTO "{schema}".jobs%'))
    finally:
        await connection.close()


async def test_no_term_is_granted_while_a_write_of_the_last_one_is_under_way(
    node: NodeHands, place: PostgresPlace, store: PostgresStore, open_store: Opener
) -> None:
    """The write has passed its check, and its term ends meanwhile: it commits, and then the next term begins."""
    other = await open_store()
    fence = await take(store)
    async with Blocked(place.schema):
        late = asyncio.ensure_future(store.jobs.insert([node.new_job()], fence=fence))
        await eventually(lambda: waiting_inserts(place.schema))
        assert await other.roles.resign([fence]) == [True]

        with pytest.raises(Unavailable, match=r"what was written because of it is not committed after 1\.0 s"):
            await take(other, holder=B, lease_ms=1000)

        assert [row.number for row in await other.roles.list()] == [fence.number]
    assert await late == [True]
    assert await take(other, holder=B) == Term("leader", B, fence.number + 1)
    with pytest.raises(TermOver):
        await store.jobs.insert([node.new_job()], fence=fence)


async def test_a_fence_holds_up_no_renewal_of_its_own_term(
    node: NodeHands, place: PostgresPlace, store: PostgresStore
) -> None:
    fence = await take(store)
    async with Blocked(place.schema):
        late = asyncio.ensure_future(store.jobs.insert([node.new_job()], fence=fence))
        await eventually(lambda: waiting_inserts(place.schema))

        assert await store.roles.renew([fence], lease_ms=30_000) == [True]
        assert await take(store) == fence
        assert not late.done()
    assert await late == [True]


async def test_roles_are_answered_while_all_other_work_waits(
    node: NodeHands, place: PostgresPlace, store: PostgresStore
) -> None:
    claimed = await node.start()
    async with Blocked(place.schema):
        work = [
            asyncio.ensure_future(store.jobs.insert([node.new_job()])),
            asyncio.create_task(node.claim()),
            asyncio.create_task(node.job(claimed.id)),
        ]
        await eventually(lambda: waiting_inserts(place.schema))

        term = await take(store)
        assert await store.roles.renew([term], lease_ms=30_000) == [True]
        assert await store.roles.resign([term]) == [True]
        assert [row.term for row in await store.roles.list()] == [None]
        assert not any(task.done() for task in work)
    await asyncio.gather(*work)


async def test_a_lease_goes_by_the_clock_of_the_server(store: PostgresStore, clock: ManualClock) -> None:
    term = await take(store)

    clock.advance(3600)
    clock.jump_wall(-7200)

    assert await store.roles.renew([term], lease_ms=30_000) == [True]


async def test_a_handle_that_takes_no_role_has_no_connection_for_them(store: PostgresStore) -> None:
    assert store._lanes.roles._connection is None

    await store.roles.list()

    assert store._lanes.roles._connection is not None


async def test_a_store_made_anew_grants_and_renews_nothing_to_an_old_handle(clock: ManualClock) -> None:
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute("DROP SCHEMA IF EXISTS anew CASCADE")
    former, fresh = (PostgresStore(postgres.url_of("anew"), clock=clock) for _ in range(2))
    await former.open()
    term = await take(former)
    await postgres.execute("DROP SCHEMA anew CASCADE")
    await fresh.open()
    assert await take(fresh) == term  # the same role, holder and number: only the store differs
    node = NodeHands(former, clock, boot_id=A)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: former.roles.campaign(["leader", "other"], holder=A, lease_ms=30_000),
        lambda: former.roles.renew([term], lease_ms=30_000),
        lambda: former.roles.resign([term]),
        lambda: former.jobs.insert([node.new_job()], fence=term),
        lambda: former.jobs.prune(finished_before=1, limit=1, fence=term),
        lambda: former.nodes.forget([B], fence=term),
    ]

    for call in calls:
        with pytest.raises(StorageReset, match="emptied or replaced"):
            await call()

    assert [row.term for row in await fresh.roles.list()] == [term]
    await former.close()
    await fresh.close()
    await postgres.execute("DROP SCHEMA anew CASCADE")
