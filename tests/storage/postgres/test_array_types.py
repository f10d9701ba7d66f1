"""What the client is told of arrays, so that a connection costs the server no look into its catalogue."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import asyncpg
import pytest

from callboard.storage.postgres.driver import PostgresStore
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres

STATEMENTS = [
    f"{folder.name}/{file.name.removesuffix('.sql')}"
    for folder in (files("callboard.storage.postgres") / "sql").iterdir()
    if folder.name != "migrations"
    for file in folder.iterdir()
    if file.name != "vacuum.sql"  # which cannot be prepared
]
ECHO = "SELECT $1::bytea[], $2::smallint[], $3::integer[], $4::text[], $5::bigint[], $6::uuid[]"
VALUES: list[list[Any]] = [
    [b"\x00", None],
    [-(2**15), None],
    [2**31 - 1, None],
    ["a", None],
    [-(2**63), None],
    [bytes(range(16)), None],
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """For which types a client has asked."""
    asked: list[object] = []
    ask = getattr(asyncpg.Connection, "_introspect_types")  # noqa: B009 - its own name for it

    async def noted(self: object, types: object, timeout: float) -> object:
        asked.append(types)
        return await ask(self, types, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", noted)
    return asked


async def test_no_statement_makes_the_client_ask_for_a_type(store: PostgresStore, asked: list[object]) -> None:
    connection = await store._server.connect()
    try:
        for name in STATEMENTS:
            await connection.prepare(store._server.text(name))
        assert asked == []

        await connection.prepare("SELECT $1::numeric[]")
        assert asked  # so it would have been seen
    finally:
        await connection.close()


async def test_nor_does_a_write_on_a_callers_connection(
    store: PostgresStore, node: NodeHands, asked: list[object]
) -> None:
    assert store.transactions is not None
    connection = await asyncpg.connect(postgres.url())
    try:
        async with connection.transaction():
            assert await store.transactions.insert(connection, [node.new_job()]) == [True]
        assert asked == []
    finally:
        await connection.close()


async def test_arrays_arrive_and_return_as_they_were(store: PostgresStore) -> None:
    connection = await store._server.connect()
    try:
        assert list((await connection.fetch(ECHO, *VALUES))[0]) == VALUES
    finally:
        await connection.close()
