"""Connections that break, and failures that pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from callboard.storage.errors import Full, StorageError, Unavailable
from callboard.storage.job import JobState
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.postgres.refusals import refusal_of
from callboard.storage.records import Finish
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands
from tests.support.persistence import until_answered
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

from .conftest import Opener

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%\"{}\"%' AND pid <> pg_backend_pid()"


async def test_a_handle_connects_again_after_its_connections_were_killed(node: NodeHands, place: PostgresPlace) -> None:
    claimed = await node.start()
    await postgres.execute(KILL.format(place.schema))

    assert await until_answered(lambda: node.finish(claimed))
    assert (await until_answered(lambda: node.job(claimed.id))).state is JobState.COMPLETED


async def test_a_closed_handle_is_unavailable(place: PostgresPlace, node: NodeHands, open_store: Opener) -> None:
    store = await open_store()
    await store.close()

    with pytest.raises(Unavailable, match="closed"):
        await store.jobs.get([])


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03", "57014"])
async def test_what_fails_in_passing_is_tried_again(
    store: PostgresStore, node: NodeHands, place: PostgresPlace, state: str
) -> None:
    """A trigger of the server's own fails three times, then lets through."""
    await postgres.execute(
        f"""
        CREATE SEQUENCE {place.schema}.tries;
        CREATE FUNCTION {place.schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('{place.schema}.tries') <= 3 THEN RAISE 'injected' USING ERRCODE = '{state}'; END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fail AFTER INSERT ON {place.schema}.ready EXECUTE FUNCTION {place.schema}.fail();
        """
    )
    try:
        job_id = await node.enqueue()
    finally:
        await postgres.execute(f"DROP FUNCTION {place.schema}.fail CASCADE; DROP SEQUENCE {place.schema}.tries")

    assert await node.state(job_id) is JobState.AVAILABLE


async def test_a_deadlock_with_another_session_surfaces_nowhere(node: NodeHands, place: PostgresPlace) -> None:
    """Another session locks two leases the other way round; the server ends one of the two."""
    await node.enqueue_many(2)
    first, second = await node.claim(2)
    lock = f"SELECT 1 FROM {place.schema}.running WHERE id = $1::text::uuid FOR UPDATE"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    ends = [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, one.attempt) for one in (first, second)]
    async with session() as other, session() as watcher:
        await other.execute("SET deadlock_timeout = '20s'")  # it is the store that is to be ended
        transaction = other.transaction()
        await transaction.start()
        await other.fetch(lock, second.id.hex())

        ending = asyncio.ensure_future(node.store.jobs.finish(ends, boot_id=node.boot_id))
        await eventually(lambda: watcher.fetchval(waiting))
        await other.fetch(lock, first.id.hex())
        await transaction.rollback()

        assert await ending == [True, True]


@asynccontextmanager
async def session() -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Of somebody else's; nothing of it is left, however the test ends."""
    connection = await asyncpg.connect(postgres.url())
    try:
        yield connection
    finally:
        connection.terminate()


async def test_a_read_only_server_is_unavailable_until_it_is_not(node: NodeHands, place: PostgresPlace) -> None:
    if not postgres.is_private():
        pytest.skip("the server was given, and its settings are not ours to change")
    await node.enqueue()
    await postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    await postgres.execute("SELECT pg_reload_conf()")
    try:

        async def is_refused() -> bool:
            try:
                await node.enqueue()
            except Unavailable:
                return True
            return False

        while not await is_refused():
            pass
    finally:
        connection = await asyncpg.connect(postgres.url(), server_settings={"default_transaction_read_only": "off"})
        await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    await until_answered(node.enqueue)


def test_a_full_disk_is_full_for_new_jobs_and_unavailable_for_others() -> None:
    """No test can fill the disk of a server that others use; what the server would say is its own class of error."""
    error = asyncpg.DiskFullError("could not extend file")

    assert isinstance(refusal_of(error, "here", is_new_work=True), Full)
    assert isinstance(refusal_of(error, "here"), Unavailable)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.TooManyConnectionsError("sorry"), Unavailable),
        (asyncpg.AdminShutdownError("bye"), Unavailable),
        (asyncpg.CannotConnectNowError("starting up"), Unavailable),
        (asyncpg.InvalidPasswordError("changed while we worked"), Unavailable),
        (ConnectionResetError("reset"), Unavailable),
        (TimeoutError(), Unavailable),
        (asyncpg.CheckViolationError("ours"), StorageError),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: type[StorageError]) -> None:
    assert type(refusal_of(error, "here")) is kind


async def test_it_works_without_prepared_statements(open_store: Opener, clock: Any) -> None:
    """As behind a pooler that carries none over."""
    store = await open_store("&statement_cache_size=0")
    node = NodeHands(store, clock, boot_id=b"A" * 16)

    claimed = await node.start()

    assert await node.finish(claimed)
    assert (await node.beat()).orphans == []


async def test_nothing_stays_in_a_session(store: PostgresStore, node: NodeHands, place: PostgresPlace) -> None:
    """No session lock and no listening on the connections that a pooler may share out."""
    claimed = await node.start()
    await node.retry(claimed)
    await store.upkeep.fold()
    connection = await asyncpg.connect(postgres.url())

    locks = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    await connection.close()

    assert locks == 0
