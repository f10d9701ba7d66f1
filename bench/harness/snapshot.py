"""A transaction that somebody forgot: while it is open, PostgreSQL may clear away nothing that ended since."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def old_snapshot(server_url: str) -> AsyncIterator[None]:
    """Hold one open."""
    connection = await asyncpg.connect(server_url)
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    await connection.fetch("SELECT count(*) FROM pg_class")  # the snapshot is taken at the first query
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()
