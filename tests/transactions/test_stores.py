"""Stores and databases that a caller's transaction does not fit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from callboard import Ctx, InvalidTransaction, JobFailed, Retry, Runtime
from callboard.storage.redis.driver import RedisStore
from tests.support.servers import postgres

pytestmark = pytest.mark.anyio


async def test_a_store_without_transactions_says_so() -> None:
    runtime = Runtime("memory://")

    @runtime.job(retry=Retry(max_attempts=1))
    async def note(ctx: Ctx) -> None:
        await ctx.complete(tx=object())

    assert RedisStore.transactions is None
    async with runtime, runtime.work():
        with pytest.raises(InvalidTransaction, match=r"this store has no transactions.*PostgreSQL and SQLite have"):
            await note.options(tx=object()).enqueue()
        with pytest.raises(JobFailed) as failed:
            await (await note.enqueue()).result(timeout=20)

    assert failed.value.job.error is not None
    assert "ctx.complete: this store has no transactions" in failed.value.job.error.error.message


async def test_a_connection_to_another_file_is_refused(tmp_path: Path) -> None:
    runtime = Runtime(f"sqlite:///{tmp_path / 'jobs.db'}")

    @runtime.job
    async def note() -> None: ...

    async with runtime:
        for other in (str(tmp_path / "other.db"), ":memory:"):
            with closing(sqlite3.connect(other)) as connection:
                connection.execute("CREATE TABLE t (n)")
                connection.execute("BEGIN")
                with pytest.raises(InvalidTransaction, match=r"main database is .*jobs\.db; found"):
                    await note.options(tx=connection).enqueue()


@pytest.mark.skipif(bool(postgres.missing()), reason=str(postgres.missing()))
@pytest.mark.parametrize("there", ["nothing", "another store"])
async def test_a_connection_to_another_postgres_database_is_refused_and_stays_usable(there: str) -> None:
    await postgres.execute("DROP SCHEMA IF EXISTS test_elsewhere CASCADE")
    await postgres.execute("DROP DATABASE IF EXISTS test_other")
    await postgres.execute("CREATE DATABASE test_other")
    url = postgres.url_of("test_elsewhere")
    other = postgres.url().replace("/postgres?", "/test_other?")
    runtime = Runtime(url, migrate=True)

    @runtime.job
    async def note() -> None: ...

    if there == "another store":
        async with Runtime(f"{other}&schema=test_elsewhere", migrate=True):
            pass
    connection = await asyncpg.connect(other)
    try:
        async with runtime, connection.transaction():
            with pytest.raises(InvalidTransaction, match="does not hold the store"):
                await note.options(tx=connection).enqueue()
            assert await connection.fetchval("SELECT 7") == 7
            counts = await runtime.counts()
    finally:
        await connection.close()
        await postgres.execute("DROP SCHEMA IF EXISTS test_elsewhere CASCADE")
        await postgres.execute("DROP DATABASE test_other")

    assert sum(counts.values()) == 0
