"""To be told of is no condition of a job: an insert takes effect where nobody may be notified."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.records import Wakeup
from callboard.storage.role import Term
from tests.support.eventually import eventually
from tests.support.node_hands import ALL, NodeHands
from tests.support.servers.postgres import PostgresServer

from .conftest import server_of_its_own

WORK = Wakeup("work", "default")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with server_of_its_own() as server:
        yield server


async def opened(url: str) -> PostgresStore:
    store = PostgresStore(url, clock=SystemClock())
    await store.open()
    return store


async def test_a_full_queue_of_notifications_refuses_no_job(server: PostgresServer) -> None:
    """It fills where somebody listens, and stays within a transaction."""
    await make_queue_small(server)
    store = await opened(server.url)
    node = NodeHands(store, SystemClock(), boot_id=b"A" * 16)
    [row] = await store.roles.campaign(["scribe"], holder=node.boot_id, lease_ms=60_000)
    forgotten, speaker = await asyncpg.connect(server.url), await asyncpg.connect(server.url)
    await forgotten.execute("LISTEN elsewhere")
    await forgotten.execute("BEGIN; SELECT 1")
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="too many notifications"):
        await shout(speaker)

    for fence in (None, row.term):
        assert await lost(store, node, fence)

    assert await store.jobs.count(ALL) == 2
    await forgotten.close()
    await speaker.close()
    await store.close()


async def make_queue_small(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.url)
    is_known = await connection.fetchval("SELECT count(*) FROM pg_settings WHERE name = 'max_notify_queue_pages'")
    if is_known:
        await connection.execute("ALTER SYSTEM SET max_notify_queue_pages = 64")
    await connection.close()
    if not is_known:
        pytest.skip("before PostgreSQL 17 the queue of notifications takes 8 GB")
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start_again)


async def shout(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for number in range(2000):
        await connection.execute(f"SELECT pg_notify('elsewhere', repeat('x', 7000) || {number})")


@pytest.mark.parametrize("option", ["", "&notify=off"])
async def test_who_may_not_notify_inserts_all_the_same(server: PostgresServer, option: str) -> None:
    await (await opened(server.url)).close()  # makes the tables
    owner = await asyncpg.connect(server.url)
    await owner.execute(
        """
        CREATE ROLE quiet LOGIN;
        GRANT ALL ON SCHEMA callboard TO quiet;
        GRANT ALL ON ALL TABLES IN SCHEMA callboard TO quiet;
        REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC
        """
    )
    await owner.close()
    store = await opened(server.url.replace("user=postgres", "user=quiet") + option)
    node = NodeHands(store, SystemClock(), boot_id=b"A" * 16)

    if option:
        assert store.wakeups.take_along([WORK]) is None
        assert await node.insert(node.new_job()) == [True]
    else:
        assert await lost(store, node, None)

    assert await store.jobs.count(ALL) == 1
    await store.close()


async def lost(store: PostgresStore, node: NodeHands, fence: Term | None) -> bool:
    """Whether an insert is made and its hint is lost."""
    hint = await eventually(lambda: store.wakeups.take_along([WORK]))
    assert hint is not None
    assert await store.jobs.insert([node.new_job()], fence=fence, hint=hint) == [True]
    return hint.is_lost
