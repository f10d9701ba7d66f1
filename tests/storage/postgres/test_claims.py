"""Claims under load, which start where the last one ended."""

from __future__ import annotations

import asyncpg
import pytest

from callboard.storage.postgres import lines
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.postgres.jobs import PostgresJobs
from callboard.storage.postgres.lines import look_in
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

from .conftest import Opener


async def test_a_straggler_behind_the_start_is_found_when_a_batch_comes_back_short(node: NodeHands) -> None:
    ids = set(await node.enqueue_many(400))
    got = [claimed.id for _ in range(2) for claimed in await node.claim(100)]

    straggler = await node.enqueue(run_in_s=-60)
    while claims := await node.claim(100):
        got += [claimed.id for claimed in claims]

    assert len(got) == 401
    assert set(got) == ids | {straggler}


async def test_a_straggler_behind_the_start_is_found_in_a_line_that_is_long(
    node: NodeHands, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_LOOK_S", (0.0, 0.0))
    await node.enqueue_many(1000)
    for _ in range(2):
        await node.claim(100)

    straggler = await node.enqueue(run_in_s=-60)
    await node.claim(100)
    assert isinstance(store.jobs, PostgresJobs)
    await store.jobs.close()  # waits for the look that this claim began

    assert (await node.claim(100))[0].id == straggler


async def test_jobs_that_become_due_behind_the_start_go_first(node: NodeHands, place: PostgresPlace) -> None:
    await place.pass_time(100)
    due = await node.enqueue(run_in_s=1)
    await place.pass_time(10)
    await node.enqueue_many(400)
    await node.claim(100)
    again = await node.enqueue(run_in_s=1)
    await node.claim(100)
    await place.pass_time(2)

    claims = [claimed.id for claimed in await node.claim(300)]

    assert due not in claims  # it went with the first batch
    assert again in claims


async def test_an_old_snapshot_keeps_no_job_from_being_claimed(
    node: NodeHands, open_store: Opener, store: PostgresStore, place: PostgresPlace
) -> None:
    """Somebody's forgotten transaction: nothing can be vacuumed, everything still runs once."""
    forgotten = await asyncpg.connect(postgres.url())
    transaction = forgotten.transaction(isolation="repeatable_read")
    await transaction.start()
    await forgotten.fetchval(f"SELECT count(*) FROM {place.schema}.ready")
    other = NodeHands(await open_store(), node.clock, boot_id=b"B" * 16, seed=2)
    ids = await node.enqueue_many(1000)

    got: list[bytes] = []
    for number in range(10):
        claims = await (node, other)[number % 2].claim(100)
        got += [claimed.id for claimed in claims]
        await store.upkeep.vacuum()
    await transaction.rollback()
    await forgotten.close()

    assert sorted(got) == ids


def test_looks_behind_claims_are_rarer_where_they_take_long() -> None:
    assert look_in(0.002) == 1.0
    assert look_in(0.1) == 5.0
    assert look_in(3.0) == 10.0  # a job whose insert was committed late waits no longer than that
