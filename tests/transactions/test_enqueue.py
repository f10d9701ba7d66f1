"""Enqueueing in a transaction of the caller's: there once he commits, and never was when he rolls back."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from callboard import InvalidTransaction, Runtime
from callboard.runtime.job import InvalidOption
from tests.support.eventually import eventually
from tests.transactions.conftest import Connect

pytestmark = pytest.mark.anyio
WAIT_S = 30.0
TRANSACTIONS = 1000


async def test_exactly_the_jobs_of_committed_transactions_run(runtime: Runtime, connect: Connect, kind: str) -> None:
    """1,000 transactions, half of them rolled back, while a worker runs."""
    ran: list[int] = []

    @runtime.job
    async def note(number: int) -> None:
        ran.append(number)

    async def transact(numbers: range) -> None:
        async with connect() as opened:
            for number in numbers:
                await opened.begin()
                await opened.add(number)
                await note.options(tx=opened.tx).enqueue(number)
                await (opened.commit() if number % 2 else opened.roll_back())

    side_by_side = {"sqlite3": 1, "aiosqlite": 2}.get(
        kind, 4
    )  # a plain connection blocks the event loop while it waits for another
    async with runtime, runtime.work({"default": 50}):
        await asyncio.gather(*(transact(range(start, TRANSACTIONS, side_by_side)) for start in range(side_by_side)))
        committed = [number for number in range(TRANSACTIONS) if number % 2]

        async def all_ended() -> dict[str, int]:
            counts = await runtime.counts()
            assert counts["completed"] == sum(counts.values()) >= len(committed)
            return counts

        counts = await eventually(all_ended, within_s=WAIT_S)
        async with connect() as opened:
            effects = await opened.effects()

    assert sorted(ran) == committed
    assert effects == committed
    assert counts["completed"] == len(committed)


async def test_nothing_is_seen_before_the_commit(runtime: Runtime, connect: Connect) -> None:
    ran: list[int] = []

    @runtime.job
    async def note(number: int) -> None:
        ran.append(number)

    async with runtime, connect() as opened:
        await opened.begin()
        handles = await runtime.enqueue_many([note.bind(n) for n in range(3)], tx=opened.tx)
        later = await note.options(delay="1h", tx=opened.tx).enqueue(9)
        before = await runtime.counts()
        await opened.commit()
        after = await runtime.counts()
        async with runtime.work():
            for handle in handles:
                await handle.result(timeout=WAIT_S)
        row = await later.job()

    assert [handle.created for handle in (*handles, later)] == [True] * 4
    assert sum(before.values()) == 0
    assert (after["available"], after["scheduled"]) == (3, 1)
    assert sorted(ran) == [0, 1, 2]
    assert row.state == "scheduled"


async def test_a_commit_wakes_a_worker_that_sleeps(runtime: Runtime, connect: Connect) -> None:
    """Its poll is an hour away, so only the wake-up can tell it."""

    @runtime.job
    async def note() -> None: ...

    lazy = Runtime(runtime.store_url, settings=runtime.settings)
    lazy.include(runtime)
    async with lazy:
        lazy.node.parts.poll_s = 3600
        async with lazy.work({"default": 1}):
            await (await note.enqueue()).result(timeout=WAIT_S)
            async with connect() as opened:
                await opened.begin()
                handle = await note.options(tx=opened.tx).enqueue()
                await opened.commit()
                await handle.result(timeout=WAIT_S)


async def test_calls_bound_with_a_transaction_go_there_together(runtime: Runtime, connect: Connect) -> None:
    @runtime.job
    async def note(number: int) -> None: ...

    async with runtime, connect() as opened:
        await opened.begin()
        await runtime.enqueue_many([note.options(tx=opened.tx).bind(1), note.options(tx=opened.tx).bind(2)])
        with pytest.raises(InvalidOption, match="one transaction for all calls"):
            await runtime.enqueue_many([note.options(tx=opened.tx).bind(1), note.bind(2)])
        with pytest.raises(InvalidOption, match="takes no tx="):
            note.options(tx=opened.tx).enqueue_sync(3)
        await opened.roll_back()
        counts = await runtime.counts()

    assert sum(counts.values()) == 0


async def test_a_transaction_goes_on_after_a_refusal(runtime: Runtime, connect: Connect) -> None:
    @runtime.job
    async def note(text: str) -> None: ...

    async with runtime, connect() as opened:
        await opened.begin()
        await opened.add(1)
        with pytest.raises(ValueError, match="the limit is 262,144"):
            await note.options(tx=opened.tx).enqueue("x" * 300_000)
        await note.options(tx=opened.tx).enqueue("x")
        await opened.commit()
        counts = await runtime.counts()
        effects = await opened.effects()

    assert (counts["available"], effects) == (1, [1])


@pytest.mark.parametrize("kind", ["postgres-asyncpg", "sqlite3"], indirect=True)
async def test_what_is_no_transaction_on_the_store_is_refused(runtime: Runtime, connect: Connect, kind: str) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime, connect() as opened:
        for wrong in (object(), "connection", 7):
            with pytest.raises(InvalidTransaction, match=r"tx=: expected .*; found (builtins\.)?\w+"):
                await note.options(tx=wrong).enqueue()
        if kind == "postgres-asyncpg":
            with pytest.raises(InvalidTransaction, match="open transaction, found none"):
                await note.options(tx=opened.tx).enqueue()
        else:
            opened.tx.isolation_level = None
            with pytest.raises(InvalidTransaction, match="open transaction, found none"):
                await note.options(tx=opened.tx).enqueue()
        counts = await runtime.counts()

    assert sum(counts.values()) == 0


@pytest.mark.parametrize("kind", ["postgres-psycopg", "postgres-sqlalchemy", "postgres-session"], indirect=True)
async def test_a_connection_that_commits_each_statement_is_refused(
    runtime: Runtime, connect: Connect, kind: str
) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime, connect() as opened:
        if kind == "postgres-psycopg":
            await opened.tx.set_autocommit(True)
        elif kind == "postgres-sqlalchemy":
            await opened.tx.execution_options(isolation_level="AUTOCOMMIT")
        else:
            await opened.tx.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        with pytest.raises(InvalidTransaction, match="open transaction, found none"):
            await note.options(tx=opened.tx).enqueue()
        counts = await runtime.counts()

    assert sum(counts.values()) == 0


@pytest.mark.parametrize("kind", ["sqlite3", "aiosqlite"], indirect=True)
async def test_a_batch_that_fails_in_the_middle_leaves_nothing_of_it(runtime: Runtime, connect: Connect) -> None:
    """Also when the caller commits what else he wrote."""

    @runtime.job
    async def note(number: int) -> None: ...

    async with runtime, connect() as opened:
        await opened.begin()
        await opened.execute(
            "CREATE TEMP TRIGGER no_third BEFORE INSERT ON main.jobs WHEN (SELECT count(*) FROM jobs) >= 2"
            " BEGIN SELECT RAISE(FAIL, 'the disk is gone'); END"
        )
        await opened.add(1)
        with pytest.raises(sqlite3.Error, match="the disk is gone"):
            await runtime.enqueue_many([note.bind(number) for number in range(5)], tx=opened.tx)
        await opened.commit()
        [[stored]] = await opened.execute("SELECT count(*) FROM main.jobs")
        effects = await opened.effects()

    assert (stored, effects) == (0, [1])
