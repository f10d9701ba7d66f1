"""Every kind of connection that a caller may have to a store's database, each with what the tests do by it."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

INSERT = "INSERT INTO {table} (value) VALUES ({value})"


class Opened(ABC):
    """A connection, `tx`, and a table `effects` of the user's own."""

    table = "effects"

    def __init__(self, tx: Any) -> None:
        self.tx = tx

    async def make_table(self) -> None:
        """Make the table, committed."""
        await self.begin()
        await self.execute(f"CREATE TABLE {self.table} (value bigint)")
        await self.commit()

    async def add(self, value: int) -> None:
        """Write a row, within the transaction."""
        await self.execute(f"INSERT INTO {self.table} (value) VALUES ({value})")

    async def effects(self) -> list[int]:
        """What is committed, or written by this transaction."""
        rows = await self.execute(f"SELECT value FROM {self.table} ORDER BY value")
        return [int(row[0]) for row in rows]

    @abstractmethod
    async def begin(self) -> None: ...

    @abstractmethod
    async def commit(self) -> None: ...

    @abstractmethod
    async def roll_back(self) -> None: ...

    @abstractmethod
    async def execute(self, statement: str) -> list[Any]: ...


class _Asyncpg(Opened):
    def __init__(self, tx: Any, schema: str) -> None:
        super().__init__(tx)
        self.table = f"{schema}.effects"

    async def begin(self) -> None:
        self._transaction = self.tx.transaction()
        await self._transaction.start()

    async def commit(self) -> None:
        await self._transaction.commit()

    async def roll_back(self) -> None:
        await self._transaction.rollback()

    async def execute(self, statement: str) -> list[Any]:
        rows: list[Any] = await self.tx.fetch(statement)
        return rows


class _Psycopg(Opened):
    def __init__(self, tx: Any, schema: str) -> None:
        super().__init__(tx)
        self.table = f"{schema}.effects"

    async def begin(self) -> None:
        """The first statement does."""

    async def commit(self) -> None:
        await self.tx.commit()

    async def roll_back(self) -> None:
        await self.tx.rollback()

    async def execute(self, statement: str) -> list[Any]:
        cursor = await self.tx.execute(statement)
        return await cursor.fetchall() if cursor.description else []


class _SqlAlchemy(_Psycopg):
    async def execute(self, statement: str) -> list[Any]:
        connection = await self.tx.connection() if isinstance(self.tx, AsyncSession) else self.tx
        result = await connection.exec_driver_sql(statement)
        return list(result.fetchall()) if result.returns_rows else []


class _Sqlite(Opened):
    async def begin(self) -> None:
        await self.execute("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        self.tx.commit()

    async def roll_back(self) -> None:
        self.tx.rollback()

    async def execute(self, statement: str) -> list[Any]:
        rows: list[Any] = self.tx.execute(statement).fetchall()
        return rows


class _Aiosqlite(_Sqlite):
    async def commit(self) -> None:
        await self.tx.commit()

    async def roll_back(self) -> None:
        await self.tx.rollback()

    async def execute(self, statement: str) -> list[Any]:
        return list(await self.tx.execute_fetchall(statement))


@asynccontextmanager
async def _asyncpg(url: str, schema: str) -> AsyncIterator[Opened]:
    connection = await asyncpg.connect(url)
    try:
        yield _Asyncpg(connection, schema)
    finally:
        await connection.close()


@asynccontextmanager
async def _asyncpg_pool(url: str, schema: str) -> AsyncIterator[Opened]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        yield _Asyncpg(connection, schema)


@asynccontextmanager
async def _psycopg(url: str, schema: str) -> AsyncIterator[Opened]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield _Psycopg(connection, schema)
        await connection.rollback()


@asynccontextmanager
async def _engine(driver: str, url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"postgresql+{driver}{url.removeprefix('postgresql')}", pool_size=1)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _sqlalchemy(driver: str, url: str, schema: str) -> AsyncIterator[Opened]:
    async with _engine(driver, url) as engine, engine.connect() as connection:
        yield _SqlAlchemy(connection, schema)


@asynccontextmanager
async def _session(driver: str, url: str, schema: str) -> AsyncIterator[Opened]:
    async with _engine(driver, url) as engine, AsyncSession(engine) as session:
        yield _SqlAlchemy(session, schema)


KINDS: dict[str, Any] = {
    "postgres-asyncpg": _asyncpg,
    "postgres-pool": _asyncpg_pool,
    "postgres-psycopg": _psycopg,
    "postgres-sqlalchemy": lambda url, schema: _sqlalchemy("asyncpg", url, schema),
    "postgres-sqlalchemy-psycopg": lambda url, schema: _sqlalchemy("psycopg", url, schema),
    "postgres-session": lambda url, schema: _session("asyncpg", url, schema),
    "postgres-session-psycopg": lambda url, schema: _session("psycopg", url, schema),
    "sqlite3": None,
    "aiosqlite": None,
}


def on_postgres(kind: str, url: str, schema: str) -> AbstractAsyncContextManager[Opened]:
    """A connection of that kind to a server's database."""
    opened: AbstractAsyncContextManager[Opened] = KINDS[kind](url, schema)
    return opened


@asynccontextmanager
async def on_sqlite(kind: str, path: Path) -> AsyncIterator[Opened]:
    """A connection of that kind to a file."""
    if kind == "sqlite3":
        plain = sqlite3.connect(path, timeout=10)
        try:
            yield _Sqlite(plain)
        finally:
            plain.close()
    else:
        async with aiosqlite.connect(path, timeout=10) as connection:
            yield _Aiosqlite(connection)
