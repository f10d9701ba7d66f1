"""Bad input: what a handler gives back or raises. The attempt ends, the reason is stored, the node lives."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from callboard import Cancel, Ctx, Discard, Handle, JobCancelled, JobFailed, Retry, Runtime, Snooze
from callboard.storage.records import Failure

from .conftest import rows

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit("gone")


def endless_list() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def deep_list() -> list[Any]:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    return deep


NOT_STORABLE: dict[str, Any] = {
    "object": object(),
    "lock within": {"a": [threading.Lock()]},
    "endless": endless_list(),
    "deep": deep_list(),
    "naive datetime": datetime(2026, 1, 1),
    "lone surrogate": "a\ud800",
    "an answer's class": Snooze,
    "function": print,
}

RAISED: dict[str, tuple[BaseException, str, str]] = {
    "__str__ raises": (Speechless(), f"{__name__}.Speechless", "<its __str__ raised RuntimeError>"),
    "__str__ leaves": (Leaving(), f"{__name__}.Leaving", "<its __str__ raised SystemExit>"),
    "lone surrogate": (ValueError("a\ud800\x00"), "ValueError", "a?\N{REPLACEMENT CHARACTER}"),
    "10 MB": (ValueError("x" * 10_000_000), "ValueError", "xxxx"),
    "SystemExit": (SystemExit(3), "SystemExit", "3"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt", ""),
    "GeneratorExit": (GeneratorExit(), "GeneratorExit", ""),
    "CancelledError": (asyncio.CancelledError(), "asyncio.exceptions.CancelledError", ""),
    "a group": (ExceptionGroup("several", [ValueError("a"), Speechless()]), "ExceptionGroup", "several (2 sub-"),
}


async def failed(handle: Handle[Any]) -> tuple[str | None, int, Failure]:
    """Why a job failed, at which attempt, and its last error."""
    with pytest.raises(JobFailed) as caught:
        await handle.result(timeout=WAIT_S)
    job = caught.value.job
    assert job.error is not None
    return job.reason, job.attempt, job.error


@pytest.mark.parametrize("case", NOT_STORABLE)
@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "thread"])
async def test_a_result_that_cannot_be_stored(runtime: Runtime, case: str, in_thread: bool) -> None:
    async def on_loop() -> Any:
        return NOT_STORABLE[case]

    def plain() -> Any:
        return NOT_STORABLE[case]

    job = runtime.job(name="gives")(plain if in_thread else on_loop)
    async with runtime, runtime.work():
        reason, attempt, failure = await failed(await job.enqueue())

    assert (reason, attempt) == ("result_not_storable", 1)
    assert failure.error.kind.endswith(".ResultNotStorable")
    assert failure.error.message.startswith("job 'gives', result")


async def test_a_result_over_1_mib(runtime: Runtime) -> None:
    @runtime.job
    async def gives(size: int) -> bytes:
        return bytes(size)

    async with runtime, runtime.work():
        assert len(await (await gives.enqueue(1024 * 1024 - 5)).result(timeout=WAIT_S)) == 1024 * 1024 - 5
        reason, attempt, failure = await failed(await gives.enqueue(1024 * 1024))

    assert (reason, attempt) == ("result_too_large", 1)
    assert failure.error.message == (
        "job 'gives': a result of 1,048,581 bytes, the limit is 1,048,576; store the bulk elsewhere and return its key"
    )


async def test_a_plain_function_that_gives_a_coroutine(runtime: Runtime) -> None:
    async def forgotten() -> None: ...

    @runtime.job
    def gives() -> Any:
        return forgotten()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Python's own, of the coroutine that nobody awaits
        async with runtime, runtime.work():
            reason, _, failure = await failed(await gives.enqueue())
        gc.collect()

    assert reason == "result_not_storable"
    assert "an object of type coroutine cannot be stored" in failure.error.message


@pytest.mark.parametrize("case", RAISED)
async def test_an_exception_of_any_kind(runtime: Runtime, case: str) -> None:
    error, kind, message = RAISED[case]

    @runtime.job(retry=Retry(max_attempts=1))
    async def raises() -> None:
        raise error

    @runtime.job
    async def after() -> str:
        return "ran"

    async with runtime, runtime.work():
        _, attempt, failure = await failed(await raises.enqueue())
        assert await (await after.enqueue()).result(timeout=WAIT_S) == "ran"

    assert attempt == 1
    assert failure.error.kind == kind
    assert failure.error.message.startswith(message)
    assert sum(len(text.encode()) for text in (kind, failure.error.message, failure.error.traceback)) <= 64 * 1024


async def test_a_thread_that_calls_sys_exit(runtime: Runtime) -> None:
    @runtime.job(retry=Retry(max_attempts=1))
    def leaves() -> None:
        sys.exit(3)

    async with runtime, runtime.work():
        _, _, failure = await failed(await leaves.enqueue())

    assert (failure.error.kind, failure.error.message) == ("SystemExit", "3")


@pytest.mark.parametrize("answer", [Cancel, Discard])
@pytest.mark.parametrize("reason", [object(), 5, None, b"bytes"], ids=["object", "int", "None", "bytes"])
async def test_an_answer_whose_reason_is_no_text(runtime: Runtime, answer: Any, reason: Any) -> None:
    """One that SQLite could not bind was asked of it for ever, and no other job of the node was finished."""

    @runtime.job
    async def answers() -> Any:
        return answer(reason)

    @runtime.job
    async def after() -> str:
        return "ran"

    async with runtime, runtime.work():
        why, attempt, failure = await failed(await answers.enqueue())
        assert await (await after.enqueue()).result(timeout=WAIT_S) == "ran"

    assert (why, attempt) == ("terminal", 1)
    assert f"{answer.__name__} reason: expected text; found {type(reason).__name__}" in failure.error.message


async def test_an_answer_whose_reason_no_store_takes_as_it_is(runtime: Runtime) -> None:
    @runtime.job
    async def answers() -> Cancel:
        return Cancel("lone \ud800 " + "x" * 5_000_000 + " end\x00")

    async with runtime, runtime.work():
        with pytest.raises(JobCancelled) as caught:
            await (await answers.enqueue()).result(timeout=WAIT_S)

    reason = caught.value.job.reason
    assert reason is not None
    assert reason.startswith("lone ? xxx")
    assert reason.endswith(" end\N{REPLACEMENT CHARACTER}")
    assert len(reason.encode()) <= 8 * 1024


@pytest.mark.parametrize(
    ("progress", "message", "said"),
    [
        ("half", None, "progress: expected a number; found str"),
        (True, None, "progress: expected a number; found bool"),
        (0.5, 5, "message: expected text; found int"),
    ],
)
async def test_progress_that_is_none(runtime: Runtime, progress: Any, message: Any, said: str) -> None:
    @runtime.job
    async def reports(ctx: Ctx) -> None:
        ctx.heartbeat(progress, message)

    async with runtime, runtime.work():
        reason, _, failure = await failed(await reports.enqueue())

    assert reason == "terminal"
    assert failure.error.message == f"ctx.heartbeat {said}"


async def test_progress_that_no_store_takes_as_it_is(runtime: Runtime, folder: Path) -> None:
    @runtime.job
    async def reports(ctx: Ctx) -> None:
        ctx.heartbeat(float("inf"), "lone \ud800" + "x" * 10_000_000)

    async with runtime, runtime.work():
        await (await reports.enqueue()).result(timeout=WAIT_S)

    assert rows(folder / "jobs.db") == 1


async def test_what_a_handler_may_not_do_with_its_context(runtime: Runtime) -> None:
    kept: list[Ctx] = []

    @runtime.job(retry=Retry(max_attempts=1))
    async def misuses(ctx: Ctx, how: str) -> Any:
        kept.append(ctx)
        if how == "set":
            ctx.attempt = 5  # type: ignore[misc]
        if how == "sleep":
            await ctx.sleep("soon")
        return ctx

    async with runtime, runtime.work():
        assert (await failed(await misuses.enqueue("set")))[2].error.kind == "AttributeError"
        assert "ctx.sleep: expected seconds" in (await failed(await misuses.enqueue("sleep")))[2].error.message
        assert (
            "an object of type Ctx cannot be stored" in (await failed(await misuses.enqueue("give")))[2].error.message
        )
        kept[0].heartbeat(0.5, "after its end")
        assert [ctx.attempt for ctx in kept] == [1, 1, 1]
