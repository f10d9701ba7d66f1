"""`process=True`: what a handler may do there, how it ends, and that nothing is left of its process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from callboard import (
    Ctx,
    Handle,
    JobCancelled,
    JobDiscarded,
    JobFailed,
    JobState,
    Registry,
    Retry,
    Runtime,
    Settings,
)
from callboard.actors.definition import InvalidDefinition
from tests.runtime import process_handlers as handlers
from tests.support.eventually import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]

WAIT_S = 30.0


@pytest.fixture
def runtime() -> Runtime:
    runtime = Runtime("memory://", settings=Settings(grace="5s"))
    runtime.include(handlers.registry)
    return runtime


async def failed(handle: Handle[object]) -> tuple[str | None, str, str, str]:
    """Reason, kind, message and traceback of a job that fails."""
    with pytest.raises(JobFailed) as caught:
        await handle.result(timeout=WAIT_S)
    failure = caught.value.job.error
    assert failure is not None
    return caught.value.job.reason, failure.error.kind, failure.error.message, failure.error.traceback


async def test_a_process_is_kept_for_the_next_attempt(runtime: Runtime) -> None:
    async with runtime, runtime.work({"default": 1}):
        first = await (await handlers.pid.enqueue()).result(timeout=WAIT_S)
        second = await (await handlers.pid.enqueue()).result(timeout=WAIT_S)

    assert first == second != os.getpid()


async def test_never_more_processes_than_slots(runtime: Runtime) -> None:
    async with runtime, runtime.work({"default": 2}):
        handles = await runtime.enqueue_many([handlers.pid.bind() for _ in range(20)])
        pids = {await handle.result(timeout=WAIT_S) for handle in handles}

    assert len(pids) <= 2


async def test_arguments_and_results_are_restored_on_both_sides(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        assert await (await handlers.pair.enqueue("a")).result(timeout=WAIT_S) == (1, {"a"})


async def test_a_private_function_runs_under_the_name_of_its_job(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        assert await (await runtime.enqueue("hidden", 1)).result(timeout=WAIT_S) == 2


async def test_answers_come_back_as_answers(runtime: Runtime, tmp_path: Path) -> None:
    async with runtime, runtime.work():
        for how, attempt in (("snooze", 1), ("retry_after", 2)):
            handle = await handlers.answers.enqueue(str(tmp_path / how), how)
            assert await handle.result(timeout=WAIT_S) == "done"
            assert (await handle.job()).attempt == attempt
        with pytest.raises(JobCancelled, match="not needed"):
            await (await handlers.answers.enqueue("", "cancel")).result(timeout=WAIT_S)
        with pytest.raises(JobDiscarded, match="stale"):
            await (await handlers.answers.enqueue("", "discard")).result(timeout=WAIT_S)


async def test_a_result_that_cannot_be_stored_fails_without_another_attempt(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        reason, kind, message, _ = await failed(await handlers.unstorable.enqueue("object"))
        assert (reason, kind.rpartition(".")[2]) == ("result_not_storable", "ResultNotStorable")
        assert "job 'unstorable', result" in message
        reason, _, message, _ = await failed(await handlers.unstorable.enqueue("large"))
        assert reason == "result_too_large"
        assert "the limit is 1,048,576" in message


async def test_an_error_is_judged_by_its_class_and_its_fields(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        retried, final = await handlers.raises.enqueue(500), await handlers.raises.enqueue(400)
        reason, kind, message, traceback = await failed(retried)

        assert (reason, kind, message) == ("attempts", "tests.runtime.process_handlers.OddlyMade", "status 500")
        assert 'raise OddlyMade(status, hint="look there")' in traceback
        assert (await failed(final))[0] == "terminal"
        assert [(await handle.job()).attempt for handle in (retried, final)] == [3, 1]


async def test_an_error_that_only_the_process_knows_keeps_its_name_and_place(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        _, kind, message, traceback = await failed(await handlers.raises_what_only_it_knows.enqueue())

    assert kind.endswith("raises_what_only_it_knows.<locals>.Local")
    assert message == "<its __str__ raised RuntimeError>"
    assert 'raise Local("never seen")' in traceback


async def test_an_error_of_the_system_keeps_its_fields(runtime: Runtime, tmp_path: Path) -> None:
    async with runtime, runtime.work():
        _, kind, message, _ = await failed(await handlers.misses.enqueue(str(tmp_path / "none")))

    assert kind == "FileNotFoundError"
    assert message.startswith("[Errno 2] No such file or directory: ")


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("sys.exit", "SystemExit", "3"),
        ("os._exit", "HandlerProcessDied", "the handler's process ended with exit code 3 before"),
        ("SIGKILL", "HandlerProcessDied", "the handler's process was killed by SIGKILL before"),
    ],
)
async def test_a_process_that_ends_fails_its_attempt_and_no_other(
    runtime: Runtime, how: str, kind: str, message: str
) -> None:
    async with runtime, runtime.work({"default": 2}):
        others = await runtime.enqueue_many([handlers.pid.bind() for _ in range(5)])
        reason, found, said, _ = await failed(await handlers.ends.enqueue(how))
        after = await handlers.pid.enqueue()

        assert (reason, found.rpartition(".")[2]) == ("attempts", kind)
        assert said.startswith(message)
        for handle in (*others, after):
            assert await handle.result(timeout=WAIT_S)


async def test_a_timeout_kills_the_process(runtime: Runtime, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    async with runtime, runtime.work({"default": 1}):
        reason, kind, _, _ = await failed(await handlers.endless.options(timeout="2s").enqueue(str(mark)))
        await eventually(lambda: not is_there(int(mark.read_text())))

        assert (reason, kind.rpartition(".")[2]) == ("attempts", "JobTimeout")
        assert await (await handlers.pid.enqueue()).result(timeout=WAIT_S)


async def test_a_process_that_only_starts_is_stopped_too(runtime: Runtime, tmp_path: Path) -> None:
    async with runtime, runtime.work({"default": 1}):
        for _ in range(5):
            handle = await handlers.endless.options(timeout="1ms").enqueue(str(tmp_path / "pid"))
            assert (await failed(handle))[1].endswith("JobTimeout")


async def test_cancelling_kills_the_process(runtime: Runtime, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    async with runtime, runtime.work():
        handle = await handlers.waits.enqueue(str(mark))
        pid = int(await eventually(lambda: mark.exists() and mark.read_text()))
        await handle.cancel("enough")

        with pytest.raises(JobCancelled, match="enough"):
            await handle.result(timeout=WAIT_S)
        await eventually(lambda: not is_there(pid))


async def test_a_drain_kills_the_process_after_its_grace_and_hands_the_job_back(tmp_path: Path) -> None:
    runtime = Runtime("memory://", settings=Settings(grace="100ms"))
    runtime.include(handlers.registry)
    mark = tmp_path / "pid"
    async with runtime:
        handle = await handlers.waits.enqueue(str(mark))
        async with runtime.work():
            pid = int(await eventually(lambda: mark.exists() and mark.read_text()))
        job = await handle.job()

    assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)
    await eventually(lambda: not is_there(pid))


async def test_a_thread_that_a_handler_leaves_behind_holds_nobody_up(runtime: Runtime) -> None:
    async with runtime, runtime.work({"default": 3}):
        handles = await runtime.enqueue_many([handlers.lingers.bind(slot) for slot in range(3)])
        pids = [await handle.result(timeout=WAIT_S) for handle in handles]

    assert not any(is_there(pid) for pid in pids)


async def test_what_a_handler_prints_does_not_disturb_the_answer(runtime: Runtime) -> None:
    async with runtime, runtime.work():
        assert await (await handlers.prints.enqueue()).result(timeout=WAIT_S) == "through"


async def test_a_handler_that_cannot_be_imported_is_told_as_such(runtime: Runtime) -> None:
    @runtime.job(process=True, retry=Retry(max_attempts=1))
    def nested() -> None:
        raise AssertionError("cannot get here")

    async with runtime, runtime.work():
        _, kind, message, _ = await failed(await nested.enqueue())

    assert kind.endswith("HandlerNotFound")
    assert "process=True needs a function that can be imported" in message


def test_a_context_cannot_cross_to_a_process() -> None:
    def takes_ctx(ctx: Ctx, value: int) -> None: ...

    with pytest.raises(InvalidDefinition, match="takes_ctx: process=True runs where there is no context: leave 'ctx'"):
        Registry().job(process=True)(takes_ctx)


@pytest.mark.parametrize("way", [["-m", "service"], ["service.py"], ["-m", "callboard", "run", "service:runtime"]])
def test_processes_work_however_the_node_was_started(tmp_path: Path, way: list[str]) -> None:
    (tmp_path / "service.py").write_text(textwrap.dedent(SERVICE))

    ran = subprocess.run([sys.executable, *way], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)

    assert "result 43" in ran.stderr, ran.stderr
    assert ran.returncode == 0


SERVICE = """
    import asyncio, os, signal, sys
    from dataclasses import dataclass
    from callboard import Runtime, Settings

    runtime = Runtime("sqlite:///jobs.db", settings=Settings(grace="5s"))

    @dataclass
    class Number:
        value: int

    @runtime.job(process=True)
    def add(number: Number) -> Number:
        return Number(number.value + 1)

    @runtime.job
    async def begin() -> None:
        got = await (await add.enqueue(Number(42))).result(timeout=30)
        print("result", got.value, file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)

    begin.enqueue_sync() if __name__ != "__mp_main__" else None
    runtime.close_sync()
    if __name__ == "__main__":
        runtime.run()
    """


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
