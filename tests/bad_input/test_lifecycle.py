"""Bad input: a runtime used where it is not open, on the wrong loop, twice at once, or not as what it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from callboard import Handle, JobNotFound, Runtime, Settings
from callboard.actors.definition import InvalidName
from callboard.runtime.job import InvalidOption
from callboard.runtime.looking import NotOpen
from callboard.runtime.portal import WrongThread
from tests.support.eventually import eventually_sync

from .conftest import contents, refused, rows

pytestmark = pytest.mark.anyio

WAIT_S = 20.0
SOME_ID = "01234567-89ab-7def-8123-456789abcdef"


async def double(n: int) -> int:
    return 2 * n


USES: dict[str, Callable[[Runtime], Awaitable[object]]] = {
    "job.enqueue": lambda runtime: runtime.jobs["double"].enqueue(1),
    "runtime.enqueue": lambda runtime: runtime.enqueue("double", 1),
    "enqueue_many": lambda runtime: runtime.enqueue_many([runtime.jobs["double"].bind(1)]),
    "counts": lambda runtime: runtime.counts(),
    "result": lambda runtime: runtime.handle(SOME_ID).result(timeout=1),
    "cancel": lambda runtime: runtime.handle(SOME_ID).cancel(),
    "handle.job": lambda runtime: runtime.handle(SOME_ID).job(),
}


@pytest.mark.parametrize("use", USES)
async def test_use_outside_async_with(runtime: Runtime, folder: Path, use: str) -> None:
    runtime.job(double)

    with refused(NotOpen, by="expected `async with runtime:` or `async with runtime.work():` around this call"):
        await USES[use](runtime)

    assert contents(folder) == {}


@pytest.mark.parametrize("use", USES)
async def test_use_after_close(runtime: Runtime, folder: Path, use: str) -> None:
    runtime.job(double)
    async with runtime:
        await runtime.enqueue("double", 1)

    with refused(NotOpen):
        await USES[use](runtime)

    assert rows(folder / "jobs.db") == 1


@pytest.mark.parametrize("use", USES)
async def test_use_on_another_event_loop(runtime: Runtime, folder: Path, use: str) -> None:
    runtime.job(double)

    async def elsewhere() -> None:
        with refused(NotOpen, by="on the same event loop (from a thread without a loop use the _sync methods)"):
            await USES[use](runtime)
        with refused(NotOpen):
            await runtime.__aenter__()

    async with runtime:
        await asyncio.to_thread(asyncio.run, elsewhere())

        assert rows(folder / "jobs.db") == 0


async def test_sync_methods_on_an_event_loop(runtime: Runtime) -> None:
    job = runtime.job(double)
    with refused(WrongThread, by="this thread runs an event loop, expected a plain thread: await the async method"):
        job.enqueue_sync(1)
    async with runtime:
        handle = await job.enqueue(1)
        with refused(WrongThread):
            handle.result_sync(timeout=1)


async def test_run_on_an_event_loop(runtime: Runtime, folder: Path) -> None:
    with refused(WrongThread, by="use `async with runtime.work(...)` there"):
        runtime.run()

    assert contents(folder) == {}


async def test_run_beside_the_main_thread(runtime: Runtime, folder: Path) -> None:
    def run() -> None:
        with refused(WrongThread, by="use `async with runtime.work(...)` there"):
            runtime.run()

    await asyncio.to_thread(run)

    assert contents(folder) == {}


async def test_work_twice(runtime: Runtime) -> None:
    job = runtime.job(double)
    async with runtime.work():
        with refused(InvalidOption, by="this runtime works already: one work() or run() at a time"):
            async with runtime.work():
                raise AssertionError("works twice")

        assert await (await job.enqueue(2)).result(timeout=WAIT_S) == 4


QUEUES: list[tuple[Any, str]] = [
    ({"mail": 0}, "queue 'mail': expected 1 to 10000 slots, found 0"),
    ({"mail": -1}, "queue 'mail': expected 1 to 10000 slots, found -1"),
    ({"mail": 10**9}, "queue 'mail': expected 1 to 10000 slots, found 1000000000"),
    ({"mail": True}, "queue 'mail': expected 1 to 10000 slots, found True"),
    ({"mail": "3"}, "queue 'mail': expected 1 to 10000 slots, found '3'"),
    ({}, "expected at least one queue to work on, found none"),
    ("mail", 'queues: expected slots by name, {"mail": 20}, or names, ["mail"]; found \'mail\''),
    (5, "queues: expected slots by name"),
]


@pytest.mark.parametrize(("queues", "said"), QUEUES)
async def test_queues_that_cannot_be_worked_on(runtime: Runtime, queues: Any, said: str) -> None:
    with refused(InvalidOption, by=said):
        async with runtime.work(queues):
            raise AssertionError("works")

    assert not runtime.is_open


async def test_a_queue_whose_name_is_none(runtime: Runtime) -> None:
    queues: Any = [None]
    with refused(InvalidName, by="queue name: expected text; found NoneType"):
        async with runtime.work(queues):
            raise AssertionError("works")


async def test_nested_blocks_are_one_runtime(runtime: Runtime) -> None:
    job = runtime.job(double)
    async with runtime:
        node = runtime.node
        async with runtime, runtime.work():
            assert runtime.node is node
            assert await (await job.enqueue(1)).result(timeout=WAIT_S) == 2
        assert runtime.is_open
        await job.enqueue(2)
    assert not runtime.is_open


async def test_blocks_entered_side_by_side_are_one_runtime(runtime: Runtime) -> None:
    """As the requests of a service would; each made a node of its own, and all but the last were never closed."""
    job = runtime.job(double)

    async def request(n: int) -> object:
        async with runtime:
            await job.enqueue(n)
            return runtime.node

    nodes = set(await asyncio.gather(*(request(n) for n in range(20))))

    assert len(nodes) == 1
    assert not runtime.is_open


async def test_a_block_entered_while_another_closes(runtime: Runtime) -> None:
    job = runtime.job(double)
    for n in range(10):
        await runtime.__aenter__()
        closing = asyncio.ensure_future(runtime.__aexit__(None, None, None))
        await asyncio.sleep(0)
        async with runtime:
            await closing
            await job.enqueue(n)
        assert not runtime.is_open


async def test_a_handle_of_another_store(runtime: Runtime, folder: Path) -> None:
    job = runtime.job(double)
    other = Runtime("sqlite:///other.db")
    async with runtime, other:
        handle = await job.enqueue(1)
        for use in (other.handle(handle.id).job, other.handle(handle.id).result, other.handle(handle.id).cancel):
            with refused(JobNotFound, by=f"no job {handle.id} is stored: it was never enqueued here, or was deleted"):
                await use()


async def test_a_waiter_that_is_cancelled_leaves_job_and_other_waiters_alone(runtime: Runtime) -> None:
    job = runtime.job(double)
    async with runtime:
        handle = await job.enqueue(3)
        leaving, staying = (asyncio.ensure_future(handle.result(timeout=WAIT_S)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        async with runtime.work():
            assert await staying == 6
        assert leaving.cancelled()


def test_a_runtime_that_cannot_be_opened_leaves_no_thread_to_sync_callers(folder: Path) -> None:
    (folder / "jobs.db").mkdir()
    runtime = Runtime("sqlite:///jobs.db")
    job = runtime.job(double)

    for _ in range(2):
        with refused(ValueError, by="jobs.db is a folder"):
            job.enqueue_sync(1)

    eventually_sync(lambda: "callboard portal" not in {thread.name for thread in threading.enumerate()})


async def test_settings_of_one_runtime_do_not_reach_another(folder: Path) -> None:
    first, second = Runtime("memory://", settings=Settings(slots=3)), Runtime("memory://")

    assert (first.settings.slots, second.settings.slots) == (3, 10)


def test_one_runtime_on_several_loops_one_after_the_other(runtime: Runtime) -> None:
    job = runtime.job(double)

    async def once(n: int) -> int:
        async with runtime, runtime.work():
            waiting = [asyncio.ensure_future(runtime.__aenter__()) for _ in range(3)]
            result = await (await job.enqueue(n)).result(timeout=WAIT_S)
            for entered in waiting:
                await entered
                await runtime.__aexit__(None, None, None)
            return result

    assert [asyncio.run(once(n)) for n in range(3)] == [0, 2, 4]
    assert job.enqueue_sync(4).created
    runtime.close_sync()


async def test_a_block_that_ends_by_an_error_drains_and_closes(runtime: Runtime) -> None:
    job = runtime.job(double)

    async def breaks() -> None:
        async with runtime.work():
            handles.append(await job.enqueue(1))
            await handles[0].result(timeout=WAIT_S)
            raise ZeroDivisionError

    handles: list[Handle[int]] = []
    with pytest.raises(ZeroDivisionError):
        await breaks()

    assert not runtime.is_open
    async with runtime:
        assert await handles[0].result(timeout=WAIT_S) == 2


async def test_a_handler_that_works_on_its_own_runtime(runtime: Runtime) -> None:
    @runtime.job
    async def nests() -> str:
        with refused(InvalidOption, by="this runtime works already"):
            async with runtime.work():
                raise AssertionError("works")
        async with runtime:
            return "went on"

    async with runtime.work():
        assert await (await nests.enqueue()).result(timeout=WAIT_S) == "went on"
