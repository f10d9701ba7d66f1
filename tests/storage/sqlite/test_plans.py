"""How SQLite means to run each statement: by a key or an index, never by reading the table of jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.statements import load
from tests.support.node_hands import NodeHands

PACKAGE = "callboard.storage.sqlite"


@pytest.fixture
async def connection(store: SqliteStore, node: NodeHands, path: Path) -> AsyncIterator[sqlite3.Connection]:
    """A file in which every state is met, after ANALYZE and so with the statistics that have misled a planner."""
    await node.enqueue_many(300)
    claimed = await node.claim(60)
    for one in claimed[:20]:
        await node.finish(one)
    for one in claimed[20:30]:
        await node.retry(one)
    await node.snooze(claimed[30])
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("jobs/claim_peek", "jobs_ready"),
        ("jobs/claim_peek", "jobs_due"),
        ("jobs/claim", "PRIMARY KEY"),
        ("jobs/claim_read", "PRIMARY KEY"),
        ("jobs/promote", "jobs_due"),
        ("jobs/promote_count", "jobs_due"),
        ("jobs/finish", "PRIMARY KEY"),
        ("jobs/put_back", "PRIMARY KEY"),
        ("jobs/put_back_cancelled", "PRIMARY KEY"),
        ("jobs/stand", "PRIMARY KEY"),
        ("jobs/cancel", "PRIMARY KEY"),
        ("jobs/cancel_request", "PRIMARY KEY"),
        ("jobs/revive", "PRIMARY KEY"),
        ("jobs/delete", "PRIMARY KEY"),
        ("jobs/prune", "jobs_ended"),
        ("jobs/get", "PRIMARY KEY"),
        ("leases/renew", "PRIMARY KEY"),
        ("leases/held", "jobs_lease"),
        ("leases/expired", "jobs_lease"),
        ("leases/rescue", "PRIMARY KEY"),
        ("queues/oldest", "jobs_ready"),
    ],
)
async def test_a_statement_never_reads_the_whole_table(
    connection: sqlite3.Connection, statement: str, index: str, analyzed: bool
) -> None:
    if analyzed:
        connection.execute("ANALYZE")
        connection.commit()

    plan = plan_of(connection, load(PACKAGE, f"sql/{statement}.sql").text)

    assert not any(line.startswith("SCAN jobs") for line in plan), plan
    assert any(index in line and line.startswith("SEARCH jobs") for line in plan), plan


@pytest.mark.parametrize(
    ("statement", "table", "index"),
    [
        ("roles/stand", "roles", "PRIMARY KEY"),
        ("roles/renew", "roles", "PRIMARY KEY"),
        ("controls/take", "controls", "controls_waiting"),
        ("controls/answer", "controls", "PRIMARY KEY"),
        ("controls/answers", "controls", "PRIMARY KEY"),
        ("controls/prune", "controls", "controls_asked"),
    ],
)
async def test_roles_and_controls_are_found_by_key_and_not_sorted(
    connection: sqlite3.Connection, statement: str, table: str, index: str
) -> None:
    plan = plan_of(connection, load(PACKAGE, f"sql/{statement}.sql").text)

    assert any(index in line and line.startswith(f"SEARCH {table}") for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


async def test_a_claim_sorts_nothing(connection: sqlite3.Connection) -> None:
    plan = plan_of(connection, load(PACKAGE, "sql/jobs/claim_peek.sql").text)

    assert not any("TEMP B-TREE" in line for line in plan), plan


def plan_of(connection: sqlite3.Connection, text: str) -> list[str]:
    named = {"queue": "q", "limit": 10, "now": 1, "id": b"x", "name": b"x", "holder": b"x", "number": 1}
    named |= {"lease_until": 1}
    parameters = named if ":" in text else [None] * text.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
