"""The runtime on PostgreSQL, end to end; what each verb does there is the contract suite's matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest

from callboard import Retry, Runtime, Settings
from callboard.storage.errors import Unavailable
from tests.support.eventually import eventually
from tests.support.servers import postgres

pytestmark = pytest.mark.anyio

WAIT_S = 20.0
SCHEMA = "test_runtime"
KILL = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'callboard' AND query LIKE '%"{SCHEMA}"%' AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    yield postgres.url_of(SCHEMA)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.fixture
def runtime(url: str) -> Runtime:
    return Runtime(url, settings=Settings(lease="2s", grace="5s"), migrate=True)


@pytest.mark.both_loops
async def test_jobs_run_fail_retry_and_wait_for_their_time(runtime: Runtime) -> None:
    tries: list[int] = []

    @runtime.job(retry=Retry(max_attempts=3, backoff="10ms"))
    async def third_time(value: int) -> int:
        tries.append(value)
        if len(tries) < 3:
            raise ValueError("not yet")
        return value * 2

    async with runtime, runtime.work():
        late = await third_time.options(delay=timedelta(milliseconds=50)).enqueue(21)

        assert await late.result(timeout=WAIT_S) == 42
        counts = await runtime.counts()

    assert len(tries) == 3
    assert (counts["completed"], sum(counts.values())) == (1, 1)


async def test_two_nodes_share_the_work_and_wake_each_other(runtime: Runtime, url: str) -> None:
    other = Runtime(url, settings=Settings(lease="2s", grace="5s"), migrate=True)
    ran: list[int] = []

    async def note(number: int) -> None:
        ran.append(number)

    job = runtime.job(name="note")(note)
    other.job(name="note")(note)

    async with runtime, other, runtime.work({"default": 4}), other.work({"default": 4}):
        handles = [await job.enqueue(number) for number in range(100)]
        await asyncio.gather(*(handle.result(timeout=WAIT_S) for handle in handles))

    assert sorted(ran) == list(range(100))


async def test_nothing_is_lost_when_every_connection_is_killed_again_and_again(runtime: Runtime) -> None:
    ran: list[int] = []

    @runtime.job
    async def note(number: int) -> None:
        ran.append(number)

    def has_moved(before: int) -> bool:
        return len(ran) > before or len(ran) >= 2000

    async with runtime:
        await runtime.enqueue_many([note.bind(number) for number in range(2000)])
        async with runtime.work({"default": 5}):
            for _ in range(5):
                so_far = len(ran)
                await postgres.execute(KILL)
                await eventually(partial(has_moved, so_far), within_s=WAIT_S)

            async def all_done() -> bool:
                try:
                    return (await runtime.counts())["completed"] == 2000
                except Unavailable:
                    return False  # the last kill met this very connection

            await eventually(all_done, within_s=WAIT_S)

    assert len(set(ran)) == 2000
