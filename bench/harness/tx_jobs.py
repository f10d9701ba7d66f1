"""A storm's handler whose effect is a row in the store's own database, written in the transaction that ends the job.

The drivers are imported when first used: each node of a storm pays for what it imports at every kill.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from threading import Thread
from typing import Any

from callboard import Ctx
from harness.records import Record

TABLE = "storm_effects"
COLUMNS = "job text NOT NULL, token bigint NOT NULL, attempt bigint NOT NULL, pid bigint NOT NULL, at float NOT NULL"
_COLUMNS_OF_RECORD = "job, token, attempt, pid, at"


async def make_table(url: str) -> None:
    """Make the table of effects, beside the store's own."""
    statement = f"CREATE TABLE {TABLE} ({COLUMNS})"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_path(url))) as connection:
            connection.execute(statement)
            connection.commit()
    else:
        import asyncpg

        server = await asyncpg.connect(url)
        await server.execute(statement)
        await server.close()


async def effects(url: str) -> list[Record]:
    """Every effect that was committed."""
    query = f"SELECT {_COLUMNS_OF_RECORD} FROM {TABLE}"
    rows: list[Any]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_path(url))) as connection:
            rows = connection.execute(query).fetchall()
    else:
        import asyncpg

        server = await asyncpg.connect(url)
        rows = list(await server.fetch(query))
        await server.close()
    return [Record("effect", *row) for row in rows]


class Effects:
    """Writes effects, each in the transaction that ends its job; one for each process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._turn = asyncio.Lock()

    async def end(self, ctx: Ctx) -> int:
        """Write the effect and the job's end, with the fencing token as result, at once."""
        values = (ctx.id, ctx.fencing_token, ctx.attempt, os.getpid(), time.monotonic())
        async with self._transaction() as tx:
            places = "?, ?, ?, ?, ?" if self._url.startswith("sqlite") else "$1, $2, $3, $4, $5"
            statement = f"INSERT INTO {TABLE} ({_COLUMNS_OF_RECORD}) VALUES ({places})"
            await (tx.execute(statement, values) if "?" in places else tx.execute(statement, *values))
            return await ctx.complete(ctx.fencing_token, tx=tx)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        if self._url.startswith("sqlite"):
            async with self._turn:  # one connection has one transaction at a time
                if self._pool is None:
                    import aiosqlite

                    connecting = aiosqlite.connect(_path(self._url), timeout=30, isolation_level=None)
                    thread = getattr(connecting, "_thread", connecting)
                    if isinstance(thread, Thread):
                        thread.daemon = True  # nobody closes it, and the process must end
                    self._pool = await connecting
                await self._pool.execute("BEGIN IMMEDIATE")
                try:
                    yield self._pool
                    await self._pool.execute("COMMIT")
                except BaseException:
                    if self._pool.in_transaction:
                        await self._pool.execute("ROLLBACK")
                    raise
            return
        async with self._turn:
            if self._pool is None:
                import asyncpg

                self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=2)
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")
