"""A store with a table of the user's own in the same database, and every kind of connection to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from callboard import Runtime, Settings
from tests.support.servers import postgres
from tests.transactions.connections import KINDS, Opened, on_postgres, on_sqlite

SCHEMA = "test_transactions"
Connect = Callable[[], AbstractAsyncContextManager[Opened]]


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """What the caller's connection is."""
    return str(request.param)


@pytest.fixture
async def url(kind: str, tmp_path: Path) -> AsyncIterator[str]:
    """An empty store, and a table `effects` beside it."""
    if kind in ("sqlite3", "aiosqlite"):
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    yield postgres.url_of(SCHEMA)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.fixture
async def runtime(url: str, connect: Connect) -> Runtime:
    """Migrated, with the table `effects` there, and not open."""
    runtime = Runtime(url, settings=Settings(lease="10s", grace="5s"), migrate=True)
    async with runtime:
        pass
    async with connect() as opened:
        await opened.make_table()
    return runtime


@pytest.fixture
def connect(kind: str, url: str, tmp_path: Path) -> Connect:
    """Opens a connection of that kind."""
    if kind in ("sqlite3", "aiosqlite"):
        return lambda: on_sqlite(kind, tmp_path / "jobs.db")
    return lambda: on_postgres(kind, postgres.url(), SCHEMA)


def values(rows: list[Any]) -> list[int]:
    return sorted(int(row) for row in rows)
