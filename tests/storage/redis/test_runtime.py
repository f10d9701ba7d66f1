"""The whole runtime on a Redis server: jobs run, nodes wake each other, and a server that restarts stops nobody."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from functools import partial

import pytest

from callboard import JobState, Runtime, Settings
from callboard.kernel.clock import SystemClock
from callboard.storage.errors import InvalidStore
from callboard.storage.urls import store_of
from tests.support.eventually import eventually
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.anyio


def runtime_on(server: RedisServer) -> Runtime:
    return Runtime(f"{server.at.url}?namespace=app", settings=Settings(lease="3s", grace="2s"), migrate=True)


async def test_jobs_run_and_give_their_results(server: RedisServer) -> None:
    runtime = runtime_on(server)

    @runtime.job
    async def double(number: int) -> int:
        return number * 2

    async with runtime.work(queues={"default": 20}):
        handles = [await double.enqueue(number) for number in range(200)]
        results = [await handle.result(timeout=20) for handle in handles]
        counts = await runtime.counts()

    assert results == [number * 2 for number in range(200)]
    assert counts["completed"] == 200


async def test_a_job_of_one_process_runs_in_another(server: RedisServer) -> None:
    worker, producer = runtime_on(server), runtime_on(server)

    async def greet(name: str) -> str:
        return f"hello {name}"

    worker.job(greet)
    send = producer.job(greet)

    async with worker.work(queues={"default": 1}), producer:
        handle = await send.enqueue("Ana")

        assert await handle.result(timeout=20) == "hello Ana"


@pytest.mark.timeout(120)
async def test_a_server_that_restarts_under_load_loses_nothing(server: RedisServer) -> None:
    runtime = runtime_on(server)
    starts: Counter[int] = Counter()

    @runtime.job
    async def work(number: int) -> int:
        starts[number] += 1
        await asyncio.sleep(0.02)  # the work of this job, not a wait for anything
        return number

    async with runtime.work(queues={"default": 10}):
        handles = [await work.enqueue(number) for number in range(300)]
        for share in (60, 120, 180):
            await eventually(partial(has_started, starts, share))
            server.stop()
            server.start()
        results = [await handle.result(timeout=60) for handle in handles]

    assert results == list(range(300))
    assert sum(starts.values()) <= 300 + 3 * 10  # at most what was in flight


def has_started(starts: Counter[int], share: int) -> bool:
    return len(starts) >= share


async def test_a_store_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("callboard.storage.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(InvalidStore, match=r"pip install 'callboard\[redis\]'"):
        store_of("redis://localhost", clock=SystemClock(), disk_reserve_bytes=0)


async def test_an_emptied_store_is_told_to_whoever_enqueues(server: RedisServer) -> None:
    runtime = runtime_on(server)

    @runtime.job
    async def noop() -> None: ...

    async with runtime:
        handle = await noop.enqueue()
        assert (await handle.job()).state is JobState.AVAILABLE
        with server.at.client() as client:
            client.flushall()

        with pytest.raises(Exception, match="storage_reset"):
            await noop.enqueue()
