"""How PostgreSQL means to run each statement: the great tables by a key or an index, never read from end to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.statements import load
from tests.support.servers import postgres

SCHEMA = "test_plans"
GREAT = {"jobs", "ready", "due", "done", "failures"}
ID, BOOT = "'{00000000000000000000000000000001}'", "'00000000000000000000000000000001'"
ERRORS = "'{x}', '{x}', '{x}'"
STATEMENTS = {
    "jobs/claim": f"'{{default}}', '{{100}}', '{{0}}', '{{0}}', '{{0}}', '{{0}}', false, 1, {BOOT}, 1000",
    "jobs/behind": "'default', 100, 100, 100, 100",
    "jobs/promote": "'default', 1, 100",
    "jobs/finish": f"{ID}, '{{1}}', '{{4}}', '{{default}}', '{{}}', '{{}}', '{{1}}', {ERRORS}, {BOOT}, 1",
    "jobs/complete": f"{ID}, '{{1}}', '{{}}', 'default', {BOOT}, 1",
    "jobs/put_back": f"{ID}, '{{1}}', '{{2}}', '{{default}}', '{{1}}', '{{1}}', {ERRORS}, {BOOT}, 1, 0",
    "jobs/stand": ID,
    "jobs/get": ID,
    "jobs/known": ID,
    "jobs/failures": BOOT,
    "jobs/select": "NULL, '{0,1,2,3,4,5,6,7}', NULL, NULL, 50",
    "jobs/cancel": f"{ID}, 'why', 1",
    "jobs/revive": f"{ID}, 1",
    "jobs/delete": ID,
    "jobs/prune": "1, 100",
    "jobs/insert": f"{ID}, '{{default}}', '{{a}}', '{{2}}', '{{1}}', '{{1}}', '{{x}}', 1",
    "jobs/insert_new": f"{ID}, '{{default}}', '{{a}}', '{{2}}', '{{1}}', '{{1}}', '{{x}}', 1",
    "leases/rescue": "100, 5, 1, 'a', 'b', 'c'",
    "leases/renew": f"{ID}, '{{1}}', '{{}}', {BOOT}, 1000",
    "leases/queues_of": ID,
    "queues/list": "",
}


FILL = """
INSERT INTO {0}.jobs (id, queue, name, priority, run_at, vtime, inserted_at, payload)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'default', 'a', 2, n, n, 0, 'x' FROM generate_series(1, 30000) AS n;
INSERT INTO {0}.ready (queue, priority, vtime, id)
SELECT queue, priority, vtime, id FROM {0}.jobs WHERE vtime <= 10000;
INSERT INTO {0}.due (queue, priority, run_at, id, state)
SELECT queue, priority, run_at, id, 1 FROM {0}.jobs WHERE vtime > 10000 AND vtime <= 20000;
INSERT INTO {0}.done (id, finished_at, claim_token, boot_id, attempt, crashes, state)
SELECT id, vtime, 1, id, 1, 0, 4 FROM {0}.jobs WHERE vtime > 20000;
INSERT INTO {0}.failures (job_id, claim_token, boot_id, failed_at, attempt, kind, message, traceback)
SELECT id, 1, id, 1, 1, 'a', 'b', 'c' FROM {0}.done;
"""


@pytest.fixture
async def connection(clock: ManualClock) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A schema of its own, with no statistics of former tests, whose tables are long enough for an index to be worth
    while.
    """
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    store = PostgresStore(postgres.url_of(SCHEMA), clock=clock)
    await store.open()
    await store.close()
    for table in sorted(GREAT):
        await postgres.execute(f"ALTER TABLE {SCHEMA}.{table} SET (autovacuum_enabled = off)")
    await postgres.execute(FILL.format(SCHEMA))
    connection = await asyncpg.connect(postgres.url())
    yield connection
    await connection.close()
    await postgres.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.mark.parametrize("analyzed", [False, True])
async def test_no_statement_reads_a_great_table_from_end_to_end(
    connection: asyncpg.Connection[asyncpg.Record], analyzed: bool
) -> None:
    if analyzed:
        await connection.execute(f"ANALYZE {', '.join(f'{SCHEMA}.{table}' for table in sorted(GREAT))}")

    found = {}
    for name, values in STATEMENTS.items():
        if name == "jobs/select" and not analyzed:
            continue  # a page for people: without statistics nobody knows how many jobs a filter lets through
        read = {node["Relation Name"] for node in await plan(connection, name, values) if is_read_whole(node)}
        found[name] = read & GREAT

    assert {name: tables for name, tables in found.items() if tables} == {}


async def test_a_claim_goes_down_the_line_and_sorts_nothing(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    nodes = list(await plan(connection, "jobs/claim", STATEMENTS["jobs/claim"]))

    lines = [node for node in nodes if node.get("Index Name") == "ready_pkey"]
    assert len(lines) == 4
    assert all("vtime >= " in node["Index Cond"] for node in lines)
    assert not [node for node in nodes if node["Node Type"] == "Sort"]


@pytest.mark.parametrize("name", ["jobs/finish", "jobs/complete", "jobs/put_back", "leases/renew"])
async def test_leases_are_found_by_key_and_not_paired_with_an_array(
    connection: asyncpg.Connection[asyncpg.Record], name: str
) -> None:
    """After a quiet time the planner takes `running` for empty, and a nested loop over a batch for cheap."""
    await connection.execute(f"INSERT INTO {SCHEMA}.running SELECT id, 1, id, 0, 0, 1, 0 FROM {SCHEMA}.done")
    await connection.execute(f"DELETE FROM {SCHEMA}.running")
    await connection.execute(f"VACUUM (TRUNCATE FALSE) {SCHEMA}.running")

    nodes = list(await plan(connection, name, STATEMENTS[name]))

    assert not [node for node in nodes if node["Node Type"] == "Function Scan"]
    assert not [node for node in nodes if node.get("Relation Name") == "running" and is_read_whole(node)]


async def plan(connection: asyncpg.Connection[asyncpg.Record], name: str, values: str) -> Iterator[dict[str, Any]]:
    """The nodes of the plan that is kept for any values, as a long-lived connection comes to use it."""
    text = load("callboard.storage.postgres", f"sql/{name}.sql").text.replace("callboard.", f"{SCHEMA}.")
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE asked AS {text}")
    call = f"EXECUTE asked ({values})" if values else "EXECUTE asked"
    [[found]] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {call}")
    await connection.execute("DEALLOCATE asked")
    return nodes_of(json.loads(found)[0]["Plan"])


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes_of(below)


def is_read_whole(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and "Relation Name" in node
