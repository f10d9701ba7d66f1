"""A schema of former code: brought up to date once, while nodes are at work on it, and left usable to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import MigrationNeeded, Unavailable
from callboard.storage.migrate import Migration
from callboard.storage.postgres import opening
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.role import Term
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres

KNOWN = opening.MIGRATIONS
BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE "grown"%'
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute("DROP SCHEMA IF EXISTS grown CASCADE")
    yield postgres.url_of("grown")
    await postgres.execute("DROP SCHEMA IF EXISTS grown CASCADE")


@contextmanager
def code_of(migrations: tuple[Migration, ...]) -> Iterator[None]:
    """Handles opened within know these migrations."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(opening, "MIGRATIONS", migrations)
        yield


@asynccontextmanager
async def opened(url: str, clock: ManualClock, *, migrate: bool = True) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, clock=clock)
    await store.open(migrate=migrate)
    try:
        yield store
    finally:
        await store.close()


async def meta(name: str) -> object:
    connection = await asyncpg.connect(postgres.url())
    try:
        return await connection.fetchval("SELECT value FROM grown.meta WHERE name = $1", name)
    finally:
        await connection.close()


async def test_a_schema_of_former_code_is_brought_up_to_date_and_keeps_its_jobs(url: str, clock: ManualClock) -> None:
    with code_of(KNOWN[:1]):
        async with opened(url, clock) as former:
            job_id = await NodeHands(former, clock, boot_id=b"A" * 16).enqueue()
    assert await meta("schema_version") == "1"

    with pytest.raises(MigrationNeeded, match=r"has schema 1, this code expects \d+: `callboard migrate --store "):
        async with opened(url, clock, migrate=False):
            pass
    assert await meta("schema_version") == "1"
    async with opened(url, clock) as store:
        node = NodeHands(store, clock, boot_id=b"A" * 16, seed=3)
        assert (await node.claim_one()).id == job_id
        [row] = await store.roles.campaign(["janitor"], holder=node.boot_id, lease_ms=30_000)
        assert row.term == Term("janitor", node.boot_id, 1)
        assert await store.jobs.insert([node.new_job()], fence=row.term) == [True]
        assert list(await store.controls.take(node.boot_id, limit=1)) == []

    assert (await meta("schema_version"), await meta("min_code")) == (str(KNOWN[-1].number), "1")


async def test_former_code_goes_on_working_beside_and_starts_on_the_newer_schema(url: str, clock: ManualClock) -> None:
    with code_of(KNOWN[:1]):
        former = PostgresStore(url, clock=clock)
        await former.open()
        node = NodeHands(former, clock, boot_id=b"A" * 16)
        first = await node.start()

    async with opened(url, clock):
        assert await node.finish(first)
        assert await node.finish(await node.start())
    await former.close()

    with code_of(KNOWN[:1]):
        async with opened(url, clock, migrate=False) as again:
            node = NodeHands(again, clock, boot_id=b"B" * 16, seed=2)
            assert await node.finish(await node.start())


async def test_eight_that_start_at_once_bring_it_up_to_date_once(url: str, clock: ManualClock) -> None:
    with code_of(KNOWN[:1]):
        async with opened(url, clock):
            pass
    stores = [PostgresStore(url, clock=clock) for _ in range(8)]

    await asyncio.gather(*(store.open() for store in stores))

    assert [list(await store.roles.list()) for store in stores] == [[]] * 8
    for store in stores:
        await store.close()


async def test_the_oldest_code_that_a_schema_allows_never_sinks(url: str, clock: ManualClock) -> None:
    newest = KNOWN[-1].number
    with code_of((*KNOWN, Migration(newest + 1, newest + 1, ()), Migration(newest + 2, 1, ()))):
        async with opened(url, clock):
            pass

    assert await meta("min_code") == str(newest + 1)


def widened() -> tuple[Migration, ...]:
    """The migrations of code to come, which changes a table that nodes use."""
    return (*KNOWN, Migration(KNOWN[-1].number + 1, 1, ("ALTER TABLE callboard.jobs ADD COLUMN note text",)))


async def test_a_change_of_a_table_lets_others_pass_while_it_must_wait(
    url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long transaction holds the table; the change gives way again and again, and comes through after it."""
    monkeypatch.setattr(opening, "_LOCK_S", 0.2)
    async with opened(url, clock) as store:
        node = NodeHands(store, clock, boot_id=b"A" * 16, seed=3)
        holder = await asyncpg.connect(postgres.url())
        await holder.execute("BEGIN; LOCK TABLE grown.jobs IN ACCESS SHARE MODE")
        with code_of(widened()):
            widening = PostgresStore(url, clock=clock)
            opening_ = asyncio.create_task(widening.open())
            looking = await asyncpg.connect(postgres.url())
            await eventually(lambda: _is_positive(looking, BLOCKED))

            for _ in range(3):
                assert await node.finish(await node.start())

            assert await meta("schema_version") == str(KNOWN[-1].number)
            await holder.execute("ROLLBACK")
            await opening_
        await holder.close()
        await looking.close()
        await widening.close()
        assert await node.finish(await node.start())
    assert await meta("schema_version") == str(KNOWN[-1].number + 1)


async def test_a_table_that_is_never_free_ends_in_one_line_and_nothing_is_changed(
    url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_LOCK_S", 0.05)
    async with opened(url, clock):
        holder = await asyncpg.connect(postgres.url())
        await holder.execute("BEGIN; LOCK TABLE grown.jobs IN ACCESS SHARE MODE")
        with code_of(widened()), pytest.raises(Unavailable, match=r"keep its tables locked for longer .*: try again"):
            async with opened(url, clock):
                pass
        await holder.close()

    assert await meta("schema_version") == str(KNOWN[-1].number)


async def _is_positive(connection: asyncpg.Connection[asyncpg.Record], query: str) -> bool:
    return bool(await connection.fetchval(query))
