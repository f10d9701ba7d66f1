"""Connections that their owners have set up in ways of their own, and what is written on them more than once."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg.rows import dict_row

from callboard import Ctx, Runtime
from callboard.storage.ids import parse_id
from callboard.storage.job import NewJob
from tests.transactions.conftest import Connect
from tests.transactions.connections import Opened

pytestmark = pytest.mark.anyio
WAIT_S = 30.0
KINDS = ["postgres-asyncpg", "postgres-psycopg", "sqlite3", "aiosqlite"]


async def enqueue_and_complete(runtime: Runtime, connect: Connect, set_up: str) -> None:
    @runtime.job
    async def pay(ctx: Ctx, amount: int) -> None:
        async with connect() as opened:
            await SET_UPS[set_up](opened)
            await opened.begin()
            await ctx.complete(tx=opened.tx)
            await opened.commit()

    async with runtime, connect() as opened:
        await SET_UPS[set_up](opened)
        await opened.begin()
        calls = [pay.bind(1), pay.options(delay="1h").bind(2), pay.options(priority=0, timeout="20s").bind(3)]
        first, _, last = await runtime.enqueue_many(calls, tx=opened.tx)
        await opened.commit()
        async with runtime.work():
            await first.result(timeout=WAIT_S)
            await last.result(timeout=WAIT_S)
        counts = await runtime.counts()

    assert (counts["completed"], counts["scheduled"], sum(counts.values())) == (2, 1, 3)


async def as_it_is(opened: Opened) -> None: ...


async def raw_cursors(opened: Opened) -> None:
    opened.tx.cursor_factory = psycopg.AsyncRawCursor


async def client_cursors(opened: Opened) -> None:
    opened.tx.cursor_factory = psycopg.AsyncClientCursor


async def rows_as_dicts(opened: Opened) -> None:
    opened.tx.row_factory = dict_row


async def ids_as_text(opened: Opened) -> None:
    await opened.tx.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")


async def bytes_in_rows(opened: Opened) -> None:
    opened.tx.text_factory = bytes
    opened.tx.row_factory = sqlite3.Row


SET_UPS = {
    each.__name__: each for each in (as_it_is, raw_cursors, client_cursors, rows_as_dicts, ids_as_text, bytes_in_rows)
}


async def test_jobs_of_every_shape_on_every_kind(runtime: Runtime, connect: Connect) -> None:
    await enqueue_and_complete(runtime, connect, "as_it_is")


@pytest.mark.parametrize("kind", ["postgres-psycopg"], indirect=True)
@pytest.mark.parametrize("set_up", ["raw_cursors", "client_cursors", "rows_as_dicts"])
async def test_habits_of_psycopg(runtime: Runtime, connect: Connect, set_up: str) -> None:
    await enqueue_and_complete(runtime, connect, set_up)


@pytest.mark.parametrize("kind", ["postgres-asyncpg"], indirect=True)
async def test_habits_of_asyncpg(runtime: Runtime, connect: Connect) -> None:
    await enqueue_and_complete(runtime, connect, "ids_as_text")


@pytest.mark.parametrize("kind", ["sqlite3"], indirect=True)
async def test_habits_of_sqlite(runtime: Runtime, connect: Connect) -> None:
    await enqueue_and_complete(runtime, connect, "bytes_in_rows")
    async with connect() as opened:
        opened.tx.text_factory = bytes
        async with runtime:
            await opened.begin()
            await runtime.enqueue_many([], tx=opened.tx)
            await opened.roll_back()
        assert opened.tx.text_factory is bytes


@pytest.mark.parametrize("kind", KINDS, indirect=True)
async def test_a_repeated_id_is_the_same_job(runtime: Runtime, connect: Connect) -> None:
    """Within one call, one transaction, and from one to the next; but not after a rollback."""

    @runtime.job
    async def note() -> None: ...

    async with runtime, connect() as opened:
        await opened.begin()
        handle = await note.options(tx=opened.tx).enqueue()
        await opened.roll_back()
        rolled_back = await runtime.counts()
        job = NewJob(parse_id(handle.id), "note", "default", note.bind().payload)
        store = runtime.node.store
        assert store.transactions is not None
        await opened.begin()
        together = await store.transactions.insert(opened.tx, [job, job])
        again = await store.transactions.insert(opened.tx, [job])
        await opened.commit()
        await opened.begin()
        later = await store.transactions.insert(opened.tx, [job])
        await opened.commit()
        outside = await store.jobs.insert([job])
        counts = await runtime.counts()

    assert sum(rolled_back.values()) == 0
    assert (together, again, later, outside) == ([True, False], [False], [False], [False])
    assert (counts["available"], sum(counts.values())) == (1, 1)
