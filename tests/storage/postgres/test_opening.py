"""Opening: servers that are refused, and a schema that several make at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import InvalidStore, MigrationNeeded, Unavailable
from callboard.storage.migrate import load_migrations
from callboard.storage.postgres.driver import PostgresStore
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

own_server = pytest.mark.skipif(not postgres.is_private(), reason="needs to know how the server's URL is written")
NEWEST = load_migrations("callboard.storage.postgres", "sql/migrations")[-1].number


@pytest.fixture
async def fresh_url() -> AsyncIterator[str]:
    """A schema that nobody has made yet."""
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute("DROP SCHEMA IF EXISTS fresh CASCADE")
    yield postgres.url_of("fresh")
    await postgres.execute("DROP SCHEMA IF EXISTS fresh CASCADE")


async def refusal(url: str, kind: type[Exception], *, migrate: bool = True) -> str:
    store = PostgresStore(url, clock=ManualClock())
    with pytest.raises(kind) as refused:
        await store.open(migrate=migrate)
    await store.close()
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_eight_that_start_at_once_make_one_schema(fresh_url: str, clock: ManualClock) -> None:
    stores = [PostgresStore(fresh_url, clock=clock) for _ in range(8)]

    await asyncio.gather(*(store.open() for store in stores))

    assert [await store.queues.list() for store in stores] == [[]] * 8
    for store in stores:
        await store.close()


async def test_without_leave_to_migrate_nothing_is_made(fresh_url: str) -> None:
    assert "has no schema, this code expects" in await refusal(fresh_url, MigrationNeeded, migrate=False)

    assert "has no schema" in await refusal(fresh_url, MigrationNeeded, migrate=False)


async def test_a_schema_that_needs_newer_code_is_refused(fresh_url: str, clock: ManualClock) -> None:
    store = PostgresStore(fresh_url, clock=clock)
    await store.open()
    await store.close()
    await postgres.execute(f"UPDATE fresh.meta SET value = '{NEWEST + 1}' WHERE name = 'min_code'")

    assert "upgrade callboard here" in await refusal(fresh_url, MigrationNeeded)


async def test_a_migration_that_fails_leaves_nothing(fresh_url: str, clock: ManualClock) -> None:
    await postgres.execute("CREATE SCHEMA fresh; CREATE TABLE fresh.whole (a int)")  # in the way of the last statement

    with pytest.raises(Exception, match="already exists"):
        await PostgresStore(fresh_url, clock=clock).open()

    assert "has no schema" in await refusal(fresh_url, MigrationNeeded, migrate=False)


@own_server
async def test_a_database_that_is_not_there_is_refused(place: PostgresPlace) -> None:
    url = place.url.replace("/postgres?", "/nowhere?")

    assert 'database "nowhere" does not exist' in await refusal(url, InvalidStore)


@own_server
async def test_a_role_that_may_not_log_in_is_refused(place: PostgresPlace) -> None:
    url = place.url.replace("user=postgres", "user=nobody_we_know")

    assert 'role "nobody_we_know" does not exist' in await refusal(url, InvalidStore)


@own_server
async def test_a_role_that_may_make_no_schema_is_refused(fresh_url: str) -> None:
    await postgres.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    url = fresh_url.replace("user=postgres", "user=reader")

    assert "permission denied" in await refusal(url, InvalidStore)

    await postgres.execute("DROP ROLE reader")


async def test_a_server_that_does_not_answer_is_unavailable(place: PostgresPlace) -> None:
    await refusal(f"postgresql:///postgres?host={place.path}", Unavailable)
    await refusal("postgresql://127.0.0.1:1/postgres", Unavailable)


async def test_examine_tells_versions_and_durability(store: PostgresStore) -> None:
    findings = {finding.subject: finding for finding in await store.examine()}

    assert findings["postgres"].text.startswith("PostgreSQL ")
    assert findings["durability"].level == "ok"


async def test_two_schemas_of_one_database_share_nothing(
    fresh_url: str, store: PostgresStore, clock: ManualClock
) -> None:
    other = PostgresStore(fresh_url, clock=clock)
    await other.open()

    await other.queues.pause(["mails"])

    assert await store.queues.list() == []
    await other.close()
    connection = await asyncpg.connect(postgres.url())
    assert await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'callboard'") == 0
    await connection.close()
