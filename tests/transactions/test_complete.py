"""Ending a job in a transaction of the handler's own: its effects happen exactly once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from callboard import Ctx, Handle, InvalidTransaction, JobCancelled, JobFailed, JobState, Retry, Runtime, Settings
from callboard.storage.errors import LeaseLost
from callboard.storage.ids import parse_id
from callboard.storage.messages import CancelJobs
from callboard.storage.records import CancelAnswer, ClaimRequest
from tests.faults.stage import staged
from tests.support.eventually import eventually
from tests.support.servers import postgres
from tests.transactions.conftest import SCHEMA, Connect
from tests.transactions.connections import Opened

pytestmark = pytest.mark.anyio
WAIT_S = 30.0
AGAIN = Retry(max_attempts=3, backoff="1ms")
FEW = ["aiosqlite", "postgres-asyncpg", "postgres-session", "sqlite3"]
NODE = Path(__file__).parent / "complete_node.py"
EXPIRE = {
    "sqlite": "UPDATE jobs SET lease_until = 0 WHERE state = 3",
    "postgres": f"UPDATE {SCHEMA}.running SET lease_until = 0",
}


async def effects(connect: Connect) -> list[int]:
    async with connect() as opened:
        return await opened.effects()


async def test_end_and_effect_are_one(runtime: Runtime, connect: Connect) -> None:
    @runtime.job
    async def pay(ctx: Ctx, amount: int) -> str:
        async with connect() as opened:
            await opened.begin()
            await opened.add(amount)
            said = await ctx.complete(f"paid {amount}", tx=opened.tx)
            await opened.commit()
        return f"{said}, and this counts for nothing"

    async with runtime, runtime.work():
        handles = [await pay.enqueue(amount) for amount in range(5)]
        answers = [await handle.result(timeout=WAIT_S) for handle in handles]
        counts = await runtime.counts()
        parts = runtime.node.parts
        # Who waits sees the commit before the worker does, which asks the store once the handler is over.
        await eventually(lambda: len(parts.in_flight) == 0)
        refused = parts.in_flight.refused_writes

    assert answers == [f"paid {amount}" for amount in range(5)]
    assert await effects(connect) == [0, 1, 2, 3, 4]
    assert (counts["completed"], sum(counts.values())) == (5, 5)
    assert refused == 0


@pytest.mark.parametrize("kind", FEW, indirect=True)
@pytest.mark.parametrize("how", ["silently", "by an error", "by a timeout"])
async def test_what_was_rolled_back_runs_again(runtime: Runtime, connect: Connect, how: str) -> None:
    attempts: list[int] = []

    @runtime.job(retry=AGAIN, timeout="200ms" if how == "by a timeout" else "20s")
    async def pay(ctx: Ctx) -> str:
        attempts.append(ctx.attempt)
        async with connect() as opened:
            await opened.begin()
            await opened.add(ctx.attempt)
            answer = await ctx.complete("paid", tx=opened.tx)
            if ctx.attempt == 2:
                await opened.commit()
                return answer
            try:
                if how == "by an error":
                    raise ConnectionError("the bank is away")
                if how == "by a timeout":
                    await asyncio.Event().wait()
            finally:
                await opened.roll_back()
        return answer

    async with runtime, runtime.work():
        handle = await pay.enqueue()
        answer = await handle.result(timeout=WAIT_S)
        job = await handle.job()

    assert (answer, attempts, job.attempt) == ("paid", [1, 2], 2)
    assert await effects(connect) == [2]
    assert job.error is not None
    expected = {"silently": "NotCommitted", "by an error": "ConnectionError", "by a timeout": "JobTimeout"}[how]
    assert job.error.error.kind.endswith(expected)


@pytest.mark.parametrize("kind", FEW, indirect=True)
async def test_what_follows_the_commit_changes_nothing(runtime: Runtime, connect: Connect) -> None:
    @runtime.job(retry=AGAIN)
    async def pay(ctx: Ctx) -> str:
        async with connect() as opened:
            await opened.begin()
            await opened.add(ctx.attempt)
            await ctx.complete("paid", tx=opened.tx)
            await opened.commit()
        raise RuntimeError("the mail about it could not be sent")

    async with runtime, runtime.work():
        handle = await pay.enqueue()
        answer = await handle.result(timeout=WAIT_S)
        await eventually(lambda: runtime.node.parts.finished == 1)
        job = await handle.job()
        refused = runtime.node.parts.in_flight.refused_writes

    assert (answer, job.state, job.attempt, refused) == ("paid", "completed", 1, 0)
    assert await effects(connect) == [1]


@pytest.mark.parametrize("kind", FEW, indirect=True)
async def test_who_lost_the_job_cannot_end_it(runtime: Runtime, connect: Connect, kind: str) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    raised: list[BaseException] = []
    runtime = Runtime(runtime.store_url, settings=Settings(lease="10m"))  # it does not learn it by a renewal

    @runtime.job(retry=AGAIN)
    async def pay(ctx: Ctx) -> None:
        begun.set()
        await go_on.wait()
        async with connect() as opened:
            await opened.begin()
            await opened.add(1)
            try:
                await ctx.complete("paid by a zombie", tx=opened.tx)
            except LeaseLost as error:
                raised.append(error)
                await opened.roll_back()
                raise
            await opened.commit()

    async with runtime, connect() as outside:
        jobs = runtime.node.store.jobs
        async with runtime.work({"default": 1}):
            handle = await pay.enqueue()
            await begun.wait()
            await expire_all(outside, kind)
            await eventually(lambda: is_rescued(runtime, handle))
            [reply] = await jobs.claim([ClaimRequest("default", 1)], boot_id=b"B" * 16, lease_ms=60_000)
            go_on.set()
            await eventually(lambda: raised)
            await eventually(lambda: len(runtime.node.parts.in_flight) == 0)
            refused = runtime.node.parts.in_flight.refused_writes
        row = await runtime.stored_job(parse_id(handle.id))

    assert [claimed.claim_token for claimed in reply.jobs] == [2]
    assert row is not None
    assert (row.state, row.claim_token, row.boot_id) == ("executing", 2, b"B" * 16)
    assert refused == 1
    assert await effects(connect) == []


async def is_rescued(runtime: Runtime, handle: Handle[Any]) -> bool:
    """By this look, or by the node's own."""
    await runtime.node.store.jobs.rescue(limit=10, max_crashes=9)
    return (await handle.job()).state is JobState.AVAILABLE


async def expire_all(opened: Opened, kind: str) -> None:
    await opened.begin()
    await opened.execute(EXPIRE[kind.partition("-")[0] if kind.startswith("postgres") else "sqlite"])
    await opened.commit()


@pytest.mark.parametrize("kind", ["postgres-asyncpg"], indirect=True)
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_postgres_transaction_longer_than_the_lease_harms_nobody(
    runtime: Runtime, connect: Connect, end: str
) -> None:
    """The row of the job is locked all the while: the heartbeat passes it by, and so does the rescuer."""
    completing = asyncio.Event()
    longer_than_a_lease_s = 2.6
    is_first = True

    @runtime.job(retry=AGAIN)
    async def pay(ctx: Ctx) -> str:
        nonlocal is_first
        async with connect() as opened:
            await opened.begin()
            await opened.add(1)
            answer = await ctx.complete("paid", tx=opened.tx)
            completing.set()
            if is_first:
                is_first = False
                await asyncio.sleep(longer_than_a_lease_s)
                if end == "rollback":
                    await opened.roll_back()
                    return answer
            await opened.commit()
        return answer

    @runtime.job(retry=Retry(max_attempts=1))
    async def beside() -> str:
        await asyncio.sleep(longer_than_a_lease_s)
        return "undisturbed"

    async with runtime, runtime.work({"default": 10}):
        paid = await pay.enqueue()
        await completing.wait()
        others = [await beside.enqueue() for _ in range(5)]
        answers = [await handle.result(timeout=WAIT_S) for handle in (paid, *others)]
        rows = [await handle.job() for handle in (paid, *others)]
        lost = runtime.node.parts.in_flight.lost_leases

    assert answers == ["paid"] + ["undisturbed"] * 5
    assert [(row.attempt, row.crashes) for row in rows[1:]] == [(1, 0)] * 5
    if end == "commit":  # else the lease was over at the rollback: renewed in time, or rescued
        assert (rows[0].attempt, rows[0].crashes, lost) == (1, 0, 0)
    assert await effects(connect) == [1]


@pytest.mark.parametrize("kind", ["postgres-asyncpg", "sqlite3"], indirect=True)
async def test_a_second_call_and_a_thread_are_refused(runtime: Runtime, connect: Connect) -> None:
    @runtime.job(retry=Retry(max_attempts=1))
    async def twice(ctx: Ctx) -> int:
        async with connect() as opened:
            await opened.begin()
            answer = await ctx.complete(1, tx=opened.tx)
            with pytest.raises(InvalidTransaction, match="expected one call in an attempt"):
                await ctx.complete(2, tx=opened.tx)
            await opened.commit()
        return answer

    @runtime.job(retry=Retry(max_attempts=1))
    def threaded(ctx: Ctx) -> None:
        _ = ctx.complete(1, tx=object())  # not awaited, since a thread cannot

    @runtime.job(retry=Retry(max_attempts=1))
    async def wrong(ctx: Ctx) -> str:
        with pytest.raises(InvalidTransaction, match="tx=: expected"):
            await ctx.complete(1, tx=object())
        return "ended by returning"

    async with runtime, runtime.work({"default": 3}):
        assert await (await twice.enqueue()).result(timeout=WAIT_S) == 1
        assert await (await wrong.enqueue()).result(timeout=WAIT_S) == "ended by returning"
        with pytest.raises(JobFailed) as failed:
            await (await threaded.enqueue()).result(timeout=WAIT_S)

    assert failed.value.job.error is not None
    assert "ctx.complete: expected an async handler" in failed.value.job.error.error.message


@pytest.mark.parametrize("kind", ["postgres-asyncpg", "sqlite3"], indirect=True)
@pytest.mark.parametrize("where", ["before the commit", "after the commit"])
async def test_a_kill_at_the_commit_leaves_one_effect(
    runtime: Runtime, connect: Connect, url: str, where: str, tmp_path: Path, kind: str
) -> None:
    """The first node is killed right there; the second takes what is left."""
    dsn = postgres.url() if kind.startswith("postgres") else str(tmp_path / "jobs.db")
    async with staged(tmp_path, url) as stage:
        doomed = stage.node(script=NODE, COMPLETE_DSN=dsn, COMPLETE_KILL=where)
        handle = await stage.enqueue("pay", 7)
        assert doomed.wait() == -signal.SIGKILL
        stage.node(script=NODE, COMPLETE_DSN=dsn, COMPLETE_KILL="never")

        answer = await handle.result(timeout=WAIT_S)

    assert answer == "paid 7"
    assert await effects(connect) == [7]


@pytest.mark.parametrize("kind", ["postgres-asyncpg"], indirect=True)
@pytest.mark.parametrize("commits", [True, False])
async def test_a_cancel_holds_up_nobody_while_a_transaction_ends_its_job(
    runtime: Runtime, connect: Connect, commits: bool
) -> None:
    """Others enqueue on the same node meanwhile; the cancel learns which came first once the transaction is over."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    @runtime.job(retry=AGAIN)
    async def pay(ctx: Ctx) -> str:
        async with connect() as opened:
            await opened.begin()
            answer = await ctx.complete("paid", tx=opened.tx)
            begun.set()
            await go_on.wait()
            await (opened.commit() if commits else opened.roll_back())
        if not commits:
            await ctx.sleep(WAIT_S)
        return answer

    @runtime.job(queue="other")
    async def note() -> str:
        return "noted"

    async with runtime, runtime.work():
        handle = await pay.enqueue()
        await begun.wait()
        [now] = await runtime.node.storage.ask(CancelJobs([parse_id(handle.id)], "enough"), timeout=WAIT_S)
        cancelling = asyncio.create_task(handle.cancel("enough"))
        noted = await (await note.enqueue()).result(timeout=WAIT_S)
        is_waiting = not cancelling.done()
        go_on.set()
        answer = await cancelling
        if commits:
            assert await handle.result(timeout=WAIT_S) == "paid"
        else:
            with pytest.raises(JobCancelled, match="enough"):
                await handle.result(timeout=WAIT_S)

    assert (now, noted, is_waiting) == (CancelAnswer.ENDING, "noted", True)
    assert answer is (CancelAnswer.TOO_LATE if commits else CancelAnswer.REQUESTED)
