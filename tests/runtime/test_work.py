"""What a user of the runtime sees of a job's life, on each store and both event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from callboard import (
    Cancel,
    Ctx,
    Discard,
    Handle,
    JobCancelled,
    JobDiscarded,
    JobFailed,
    JobNotFound,
    JobState,
    ResultTimeout,
    Retry,
    RetryAfter,
    Runtime,
    Snooze,
)
from callboard.storage.records import CancelAnswer
from tests.support.eventually import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops, pytest.mark.wheel]

WAIT_S = 20.0


async def test_a_job_runs_and_its_result_comes_back(runtime: Runtime) -> None:
    @runtime.job
    async def add(a: int, b: int = 1) -> int:
        return a + b

    async with runtime, runtime.work():
        handle = await add.enqueue(41)

        assert handle.created
        assert await handle.result(timeout=WAIT_S) == 42
        assert (await runtime.counts())["completed"] == 1


async def test_a_result_can_be_awaited_before_the_job_exists_anywhere_else(runtime: Runtime) -> None:
    @runtime.job
    async def slow(gate: str) -> str:
        return gate

    async with runtime:
        handle = await slow.enqueue("later")
        waiting = asyncio.ensure_future(handle.result(timeout=WAIT_S))
        async with runtime.work():
            assert await waiting == "later"


async def test_many_callers_of_result_all_get_it(runtime: Runtime) -> None:
    @runtime.job
    async def one() -> int:
        return 1

    async with runtime, runtime.work():
        handle = await one.enqueue()
        assert await asyncio.gather(*(handle.result(timeout=WAIT_S) for _ in range(20))) == [1] * 20


async def test_enqueue_many_keeps_the_order_of_its_calls(runtime: Runtime) -> None:
    seen: list[int] = []

    @runtime.job(queue="line")
    async def note(n: int) -> int:
        seen.append(n)
        return n

    async with runtime:
        handles = await runtime.enqueue_many([note.bind(n) for n in range(50)])
        async with runtime.work({"line": 1}):
            assert [await handle.result(timeout=WAIT_S) for handle in handles] == list(range(50))

    assert seen == list(range(50))


async def test_urgent_jobs_go_first(runtime: Runtime) -> None:
    seen: list[str] = []

    @runtime.job(queue="line")
    async def note(what: str) -> None:
        seen.append(what)

    async with runtime:
        last = await note.options(priority=3).enqueue("low")
        await note.enqueue("normal")
        await note.options(priority=0).enqueue("urgent")
        async with runtime.work({"line": 1}):
            await last.result(timeout=WAIT_S)

    assert seen == ["urgent", "normal", "low"]


async def test_a_delayed_job_waits_for_its_time(runtime: Runtime) -> None:
    @runtime.job
    async def when() -> float:
        return time.time()

    async with runtime, runtime.work():
        asked = time.time()
        delayed = await when.options(delay="300ms").enqueue()
        dated = await when.options(at=datetime.now(UTC) + timedelta(seconds=0.3)).enqueue()

        assert (await runtime.counts())["scheduled"] == 2
        assert await delayed.result(timeout=WAIT_S) >= asked + 0.29
        assert await dated.result(timeout=WAIT_S) >= asked + 0.29


async def test_a_failing_job_is_retried_and_then_failed_with_its_error(runtime: Runtime) -> None:
    attempts: list[int] = []

    @runtime.job(retry=Retry(max_attempts=3, backoff=0.01))
    async def broken(ctx: Ctx) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("out of order")

    async with runtime, runtime.work():
        handle = await broken.enqueue()
        with pytest.raises(JobFailed) as caught:
            await handle.result(timeout=WAIT_S)
        failures = await runtime.failures(runtime.handle(handle.id)._id)

    assert attempts == [1, 2, 3]
    assert caught.value.job.error is not None
    assert caught.value.job.error.error.message == "out of order"
    assert [failure.attempt for failure in failures] == [1, 2, 3]
    assert all("ValueError: out of order" in failure.error.traceback for failure in failures)


async def test_on_retry_is_told_before_each_wait(runtime: Runtime) -> None:
    told: list[tuple[int, str]] = []

    async def note(ctx: Ctx, error: BaseException, next_at: datetime) -> None:
        assert next_at.tzinfo is not None
        told.append((ctx.attempt, str(error)))
        raise RuntimeError("a failing hook changes nothing")

    @runtime.job(retry=Retry(max_attempts=2, backoff=0.01, on_retry=note))
    async def broken() -> None:
        raise ValueError("again")

    async with runtime, runtime.work():
        with pytest.raises(JobFailed):
            await (await broken.enqueue()).result(timeout=WAIT_S)

    assert told == [(1, "again")]


async def test_never_fails_at_the_first_attempt(runtime: Runtime) -> None:
    @runtime.job(retry=Retry(never=(SyntaxError,)))
    async def parse() -> None:
        raise SyntaxError("no Python")

    async with runtime, runtime.work():
        handle = await parse.enqueue()
        with pytest.raises(JobFailed):
            await handle.result(timeout=WAIT_S)
        job = await handle.job()

    assert (job.state, job.attempt) == (JobState.FAILED, 1)


async def test_a_snooze_restores_the_attempt(runtime: Runtime) -> None:
    attempts: list[int] = []

    @runtime.job
    async def patient(ctx: Ctx) -> str | Snooze:
        attempts.append(ctx.attempt)
        return "done" if len(attempts) == 3 else Snooze(0.01)

    async with runtime, runtime.work():
        assert await (await patient.enqueue()).result(timeout=WAIT_S) == "done"

    assert attempts == [1, 1, 1]


async def test_retry_after_counts_the_attempt(runtime: Runtime) -> None:
    attempts: list[int] = []

    @runtime.job
    async def limited(ctx: Ctx) -> str | RetryAfter:
        attempts.append(ctx.attempt)
        return "done" if len(attempts) == 2 else RetryAfter(0.01)

    async with runtime, runtime.work():
        assert await (await limited.enqueue()).result(timeout=WAIT_S) == "done"

    assert attempts == [1, 2]


async def test_cancel_and_discard_are_answers_of_a_handler(runtime: Runtime) -> None:
    @runtime.job
    async def gives_up(how: str) -> Cancel | Discard | None:
        return Cancel("not needed") if how == "cancel" else Discard("stale")

    async with runtime, runtime.work():
        with pytest.raises(JobCancelled, match="not needed"):
            await (await gives_up.enqueue("cancel")).result(timeout=WAIT_S)
        with pytest.raises(JobDiscarded, match="stale"):
            await (await gives_up.enqueue("discard")).result(timeout=WAIT_S)


async def test_a_waiting_job_is_cancelled_at_once(runtime: Runtime) -> None:
    @runtime.job
    async def never_runs() -> None:
        raise AssertionError("cancelled before")

    async with runtime:
        handle = await never_runs.enqueue()
        assert await handle.cancel("changed my mind") is CancelAnswer.CANCELLED
        assert await handle.cancel() is CancelAnswer.CANCELLED
        async with runtime.work():
            with pytest.raises(JobCancelled, match="changed my mind"):
                await handle.result(timeout=WAIT_S)


async def test_an_executing_job_is_cancelled_in_its_handler(runtime: Runtime) -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    @runtime.job
    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async with runtime, runtime.work():
        handle = await endless.enqueue()
        await asyncio.wait_for(started.wait(), WAIT_S)

        assert await handle.cancel("enough") is CancelAnswer.REQUESTED
        with pytest.raises(JobCancelled, match="enough"):
            await handle.result(timeout=WAIT_S)
        assert await handle.cancel() is CancelAnswer.CANCELLED

    assert cleaned.is_set()


async def test_a_handler_that_ends_first_wins_over_its_cancellation(runtime: Runtime) -> None:
    started = asyncio.Event()

    @runtime.job
    async def stubborn() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished anyway"
        return "never"

    async with runtime, runtime.work():
        handle = await stubborn.enqueue()
        await asyncio.wait_for(started.wait(), WAIT_S)
        await handle.cancel()

        assert await handle.result(timeout=WAIT_S) == "finished anyway"
        assert await handle.cancel() is CancelAnswer.TOO_LATE


async def test_a_timeout_ends_the_attempt_and_is_retried(runtime: Runtime) -> None:
    attempts: list[int] = []

    @runtime.job(timeout=0.1, retry=Retry(backoff=0.01))
    async def hangs_once(ctx: Ctx) -> int:
        attempts.append(ctx.attempt)
        assert ctx.deadline is not None
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    async with runtime, runtime.work():
        handle = await hangs_once.enqueue()
        assert await handle.result(timeout=WAIT_S) == 2
        [failure] = await runtime.failures(handle._id)

    assert "timeout of 0.1 s" in failure.error.message


async def test_an_option_overrides_the_timeout(runtime: Runtime) -> None:
    @runtime.job(timeout="1h", retry=Retry(max_attempts=1))
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with runtime, runtime.work():
        with pytest.raises(JobFailed):
            await (await hangs.options(timeout=0.1).enqueue()).result(timeout=WAIT_S)


async def test_a_plain_function_runs_in_a_thread(runtime: Runtime) -> None:
    @runtime.job
    def where(ctx: Ctx) -> int:
        assert ctx.attempt == 1
        return threading.get_ident()

    async with runtime, runtime.work():
        assert await (await where.enqueue()).result(timeout=WAIT_S) != threading.get_ident()


async def test_a_thread_past_its_timeout_is_abandoned_and_its_slot_set_aside(runtime: Runtime) -> None:
    release = threading.Event()

    @runtime.job(queue="one", timeout=0.1, retry=Retry(max_attempts=1))
    def stuck() -> None:
        release.wait(WAIT_S)

    @runtime.job(queue="one")
    async def after() -> str:
        return "ran"

    async with runtime, runtime.work({"one": 1}):
        first = await stuck.enqueue()
        with pytest.raises(JobFailed):
            await first.result(timeout=WAIT_S)
        second = await after.enqueue()
        with pytest.raises(ResultTimeout):
            await second.result(timeout=0.3)
        release.set()

        assert await second.result(timeout=WAIT_S) == "ran"


async def test_progress_is_seen_by_those_who_watch(runtime: Runtime) -> None:
    release = asyncio.Event()

    @runtime.job
    async def reports(ctx: Ctx) -> None:
        ctx.heartbeat(progress=0.5, message="half-way")
        await release.wait()

    async with runtime, runtime.work():
        handle = await reports.enqueue()

        async def is_reported() -> bool:
            job = await handle.job()
            return (job.progress, job.message) == (0.5, "half-way")

        await eventually(is_reported, within_s=WAIT_S)
        release.set()
        await handle.result(timeout=WAIT_S)


async def test_a_drain_lets_jobs_finish_and_hands_the_rest_back(runtime: Runtime) -> None:
    started = asyncio.Event()
    saw: list[bool] = []

    @runtime.job(queue="one")
    async def finishes(ctx: Ctx) -> str:
        started.set()
        while not ctx.shutting_down:
            await ctx.sleep(0.01)
        saw.append(True)
        return "in time"

    async with runtime:
        handles = await runtime.enqueue_many([finishes.bind() for _ in range(3)])
        async with runtime.work({"one": 1}):
            await asyncio.wait_for(started.wait(), WAIT_S)

        assert await handles[0].result(timeout=WAIT_S) == "in time"
        assert await runtime.counts() | {"completed": 1, "available": 2} == await runtime.counts()
        assert [(await handle.job()).attempt for handle in handles[1:]] == [0, 0]


async def test_grace_over_means_interrupted_and_handed_back_unharmed(store_url: str) -> None:
    from callboard import Settings

    runtime = Runtime(store_url, settings=Settings(lease="2s", grace=0.1))
    started = asyncio.Event()

    @runtime.job
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    async with runtime:
        handle = await endless.enqueue()
        async with runtime.work():
            await asyncio.wait_for(started.wait(), WAIT_S)
        job = await handle.job()

    assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)


async def test_a_job_can_enqueue_more_through_its_context(runtime: Runtime) -> None:
    @runtime.job
    async def child(n: int) -> int:
        return n * 2

    @runtime.job
    async def parent(ctx: Ctx) -> str:
        handle: Handle[int] = await child.enqueue(21)
        assert ctx.runtime is runtime
        return handle.id

    async with runtime, runtime.work():
        child_id = await (await parent.enqueue()).result(timeout=WAIT_S)
        assert await runtime.handle(child_id).result(timeout=WAIT_S) == 42


async def test_an_unknown_id_is_not_found(runtime: Runtime) -> None:
    async with runtime:
        handle = runtime.handle("01234567-89ab-7def-8123-456789abcdef")
        for use in (handle.job, handle.result, handle.cancel):
            with pytest.raises(JobNotFound):
                await use()


async def test_a_job_by_name_is_checked_against_its_handler_if_known(runtime: Runtime) -> None:
    @runtime.job
    async def add(a: int, b: int) -> int:
        return a + b

    async with runtime, runtime.work():
        assert await (await runtime.enqueue("add", 1, b=2)).result(timeout=WAIT_S) == 3
        with pytest.raises(TypeError, match="add"):
            await runtime.enqueue("add", 1)


def test_sync_callers_need_no_event_loop(store_url: str) -> None:
    runtime = Runtime(store_url)

    @runtime.job
    async def add(a: int) -> int:
        return a + 1

    handle = add.enqueue_sync(1)

    assert handle.created
    with pytest.raises(ResultTimeout):
        handle.result_sync(timeout=0.05)
    runtime.close_sync()


async def test_sync_callers_in_a_handler_use_the_loop_of_the_runtime(runtime: Runtime) -> None:
    @runtime.job
    async def double(n: int) -> int:
        return n * 2

    @runtime.job
    def plain(n: int) -> int:
        return double.enqueue_sync(n).result_sync(timeout=WAIT_S)

    async with runtime, runtime.work():
        assert await (await plain.enqueue(4)).result(timeout=WAIT_S) == 8
