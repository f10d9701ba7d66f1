"""Bad input: the arguments and options of an enqueue. Refused there, not in the worker, with nothing written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from callboard import CallboardError, Runtime
from callboard.actors.definition import BadArguments, InvalidDefinition, InvalidName, PayloadTooLarge
from callboard.kernel.codec import NotStorable
from callboard.kernel.durations import InvalidDuration
from callboard.runtime.job import InvalidOption

from .conftest import Cli, refused, rows

pytestmark = pytest.mark.anyio


async def send(user: int, text: object = None, *, lang: str = "pt") -> None: ...


class Opaque: ...


UNSTORABLE: dict[str, tuple[object, str]] = {
    "object": (Opaque(), "job 'send', argument 'text': an object of type Opaque cannot be stored"),
    "lock": (threading.Lock(), "job 'send', argument 'text': an object of type lock cannot be stored"),
    "generator": ((n for n in "ab"), "job 'send', argument 'text': an object of type generator cannot be stored"),
    "within a list": ([1, {"a": Opaque()}], "job 'send', argument 'text'[1]['a']: an object of type Opaque cannot"),
    "naive datetime": (datetime(2026, 1, 1), "job 'send', argument 'text': a naive datetime cannot be stored; give it"),
    "lone surrogate": ("a\ud800", "job 'send', argument 'text': text with lone surrogates cannot be stored"),
}

MISFITS: dict[str, tuple[tuple[object, ...], dict[str, object], str]] = {
    "too few": ((), {}, "missing a required argument: 'user'"),
    "too many": ((1, 2, 3), {}, "too many positional arguments"),
    "unknown keyword": ((1,), {"lnag": "en"}, "got an unexpected keyword argument 'lnag'"),
    "twice": ((1,), {"user": 2}, "multiple values for argument 'user'"),
    "wrong type": (("one",), {}, "job 'send', argument 'user': expected int; found str"),
    "wrong keyword type": ((1,), {"lang": 5}, "job 'send', argument 'lang': expected str; found int"),
    "None": ((None,), {}, "job 'send', argument 'user': expected int; found None"),
}


@pytest.mark.parametrize("case", UNSTORABLE)
async def test_arguments_that_cannot_be_stored(runtime: Runtime, folder: Path, case: str) -> None:
    value, said = UNSTORABLE[case]
    job = runtime.job(send)
    async with runtime:
        with refused(NotStorable, by=said):
            await job.enqueue(1, value)
        with refused(NotStorable, by=said):
            await runtime.enqueue_many([job.bind(1), job.bind(1, value)])
        with refused(NotStorable, by="text" if case == "lone surrogate" else "cannot be stored"):
            await runtime.enqueue("elsewhere", value)

        assert rows(folder / "jobs.db") == 0


async def test_arguments_over_256_kib(runtime: Runtime, folder: Path) -> None:
    job = runtime.job(send)
    async with runtime:
        for enqueue in (job.enqueue(1, "x" * 262_144), runtime.enqueue("elsewhere", 1, "x" * 262_144)):
            with refused(PayloadTooLarge, by="the limit is 262,144; store the bulk elsewhere and pass its key"):
                await enqueue

        assert rows(folder / "jobs.db") == 0


@pytest.mark.parametrize("case", MISFITS)
async def test_arguments_not_matching_the_signature(runtime: Runtime, folder: Path, case: str) -> None:
    args, kwargs, said = MISFITS[case]
    job: Any = runtime.job(send)
    async with runtime:
        for enqueue in (job.enqueue(*args, **kwargs), runtime.enqueue("send", *args, **kwargs)):
            with refused(BadArguments, by=said):
                await enqueue

        assert rows(folder / "jobs.db") == 0


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "list", "--name"],
        ["jobs", "list", "--queue"],
        ["jobs", "retry", "--name"],
        ["jobs", "show"],
        ["enqueue"],
    ],
)
def test_bytes_that_are_no_text_at_the_command_line(refused_by_cli: Cli, command: list[str]) -> None:
    """Python hands them over as lone surrogates, which no row takes."""
    line = refused_by_cli(*command, "caf\udce9")

    assert f"argument {len(command) + 1}: expected UTF-8 text, found 'caf\\udce9'" in line


async def test_counts_of_what_is_no_queue(runtime: Runtime) -> None:
    queue: Any
    async with runtime:
        for queue in ("", "caf\udce9", 5):
            with refused(InvalidName, by="queue name"):
                await runtime.counts(queue)


def test_arguments_at_the_command_line(refused_by_cli: Cli) -> None:
    assert "expected a JSON value, found 'pt'" in refused_by_cli("enqueue", "send", "pt")
    assert "the limit is 262,144" in refused_by_cli("enqueue", "send", '"' + "x" * 262_144 + '"')
    assert "text with lone surrogates" in refused_by_cli("enqueue", "send", '"\\ud800"')


NAIVE_OR_WORSE: list[Any] = [datetime(2026, 1, 1), date(2026, 1, 1), "2026-01-01", 1_767_225_600]


@pytest.mark.parametrize("at", NAIVE_OR_WORSE, ids=["naive", "date", "text", "timestamp"])
def test_naive_datetimes(runtime: Runtime, at: Any) -> None:
    with refused(InvalidOption, by="at: expected a datetime with a time zone, such as datetime.now(UTC), found "):
        runtime.job(send).options(at=at)


OPTIONS: list[tuple[dict[str, Any], type[CallboardError], str]] = [
    ({"delay": -1}, InvalidDuration, "delay: expected zero or more; found -1"),
    ({"delay": "soon"}, InvalidDuration, "delay: expected seconds as a number, a timedelta, or text such as"),
    ({"delay": float("nan")}, InvalidDuration, "delay: expected zero or more; found nan"),
    ({"delay": 1e300}, InvalidDuration, "delay: expected at most a century; found 1e+300"),
    ({"delay": True}, InvalidDuration, "delay: expected seconds as a number"),
    ({"delay": 1, "at": datetime.now(UTC)}, InvalidOption, "delay and at: expected one of them, found both"),
    ({"timeout": 0}, InvalidOption, "timeout: expected more than zero; leave it out"),
    ({"timeout": -1}, InvalidDuration, "timeout: expected zero or more; found -1"),
    ({"priority": 4}, InvalidDefinition, "priority: expected 0 (urgent) to 3 (low); found 4"),
    ({"priority": "high"}, InvalidDefinition, "priority: expected 0 (urgent) to 3 (low); found 'high'"),
    ({"queue": ""}, InvalidName, "queue name: expected 1 to 128 characters; found none"),
    ({"queue": "_own"}, InvalidName, 'queue name \'_own\': names that begin with "callboard." or "_" are reserved'),
    ({"queue": "callboard.x"}, InvalidName, "names that begin with"),
    ({"queue": "a/b"}, InvalidName, 'expected no "/"'),
    ({"queue": 5}, InvalidName, "queue name: expected text; found int"),
]


@pytest.mark.parametrize(("options", "kind", "said"), OPTIONS)
def test_options_that_cannot_be(
    runtime: Runtime, options: dict[str, Any], kind: type[CallboardError], said: str
) -> None:
    with refused(kind, by=said):
        runtime.job(send).options(**options)


@pytest.mark.parametrize("queue", ["", "_own", "callboard.mail", "two words", "new\nline", "x" * 129])
async def test_reserved_or_empty_queue_names(runtime: Runtime, folder: Path, queue: str) -> None:
    with refused(InvalidName, by="queue name"):
        runtime.job(queue=queue)(send)
    with refused(InvalidName, by="queue name"):
        async with runtime.work([queue]):
            raise AssertionError("works")

    assert not runtime.jobs
    assert rows(folder / "jobs.db") == 0


@pytest.mark.parametrize("queue", ["", "_own", "callboard.mail"])
def test_reserved_or_empty_queue_names_at_the_command_line(
    folder: Path, refused_by_cli: Cli, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "service_of_names.py").write_text("from callboard import Runtime\nruntime = Runtime()")

    assert "queue name" in refused_by_cli("enqueue", "send", "--queue", queue)
    assert "queue name" in refused_by_cli("run", "service_of_names:runtime", "--queue", queue)


def nothing() -> Iterator[Any]:
    yield from ()


@pytest.mark.parametrize("name", ["", "_own", "callboard.x", 5, None, send])
async def test_a_name_that_no_job_may_have(runtime: Runtime, folder: Path, name: Any) -> None:
    async with runtime:
        with refused(InvalidName, by="job name"):
            await runtime.enqueue(name, 1)

        assert rows(folder / "jobs.db") == 0


async def test_a_job_where_its_name_is_expected(runtime: Runtime, folder: Path) -> None:
    job: Any = runtime.job(send)
    async with runtime:
        with refused(InvalidName, by="expected text; found the job 'send' itself: use its own enqueue(...)"):
            await runtime.enqueue(job, 1)

        assert rows(folder / "jobs.db") == 0


async def test_enqueue_many_of_what_is_not_bound(runtime: Runtime, folder: Path) -> None:
    job: Any = runtime.job(send)
    coroutine = job.enqueue(1)
    found: Any
    async with runtime:
        for found in (job, coroutine, 5):
            with refused(InvalidOption, by="enqueue_many: expected calls made by job.bind(...), found"):
                await runtime.enqueue_many([job.bind(1), found])
        coroutine.close()

        assert rows(folder / "jobs.db") == 0
        assert len(await runtime.enqueue_many(job.bind(n) for n in range(3))) == 3
        assert rows(folder / "jobs.db") == 3


async def test_malformed_ids(runtime: Runtime) -> None:
    job_id: Any
    async with runtime:
        for job_id in (b"x" * 16, "zz", 5, None, "0" * 31):
            with refused(CallboardError, by="is no job id: expected 32 hexadecimal digits"):
                runtime.handle(job_id)


async def test_timeouts_of_result(runtime: Runtime) -> None:
    from callboard import ResultTimeout

    job = runtime.job(send)
    timeout: Any
    async with runtime:
        handle = await job.enqueue(1)
        for timeout in ("soon", float("nan"), True, object()):
            with refused(InvalidDuration, by="timeout: expected"):
                await handle.result(timeout=timeout)
        for timeout in (-1, 0, "1ms"):
            with refused(ResultTimeout, by="it goes on"):
                await handle.result(timeout=timeout)


@pytest.mark.parametrize("reason", [None, 5, b"bytes", object()])
async def test_a_reason_that_is_no_text(runtime: Runtime, reason: Any) -> None:
    job = runtime.job(send)
    async with runtime:
        handle = await job.enqueue(1)
        with refused(TypeError, by="cancel reason: expected text; found"):
            await handle.cancel(reason)

        assert (await runtime.counts())["available"] == 1


async def test_a_reason_that_no_store_takes_as_it_is(runtime: Runtime) -> None:
    job = runtime.job(send)
    async with runtime:
        handle = await asyncio.wait_for(job.enqueue(1), 10)
        await handle.cancel("lone \ud800" + "x" * 1_000_000 + "\x00 end")
        reason = (await handle.job()).reason

    assert reason is not None
    assert reason.startswith("lone ?xxx")
    assert reason.endswith("x\N{REPLACEMENT CHARACTER} end")
    assert len(reason.encode()) <= 8 * 1024
