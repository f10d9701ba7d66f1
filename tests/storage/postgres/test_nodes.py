"""A node that registers is about to work."""

from __future__ import annotations

import asyncpg

from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.records import Node
from tests.support.servers import postgres

SHOWN = 300  # first characters of a statement: enough to tell it, and before the store that it is bound to
WARM = ("jobs/claim", "jobs/complete")


async def backends_at(store: PostgresStore, name: str) -> int:
    """Connections whose latest statement was this one."""
    text = store._server.text(name)
    connection = await asyncpg.connect(postgres.url())
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE left(query, $2) = left($1, $2)", text, SHOWN
            )
        )
    finally:
        await connection.close()


async def test_registering_plans_what_the_first_job_needs(store: PostgresStore) -> None:
    assert [await backends_at(store, name) for name in WARM] == [0, 0]

    await store.nodes.register(Node(b"A" * 16, "host", 1, "0", 0, b""))

    assert [await backends_at(store, name) for name in WARM] == [1, 1]
