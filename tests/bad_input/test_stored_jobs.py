"""Bad input: what stands in the store that this node cannot run. The node lives, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from callboard import Handle, JobFailed, JobState, Runtime
from callboard.storage.ids import parse_id
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio

WAIT_S = 20.0

MALFORMED = {
    "empty": b"",
    "truncated": b"\x92\x91\x01",
    "followed by more": b"\x92\x90\x80\x00",
    "no call": b"\x2a",
    "random": os.urandom(64),
    "nested 10,000 deep": b"\x91" * 10_000 + b"\x01",
    "huge array": b"\xdd\xff\xff\xff\xff",
    "unknown extension": b"\x92\x91\xc7\x01\x63\x00\x80",
    "doubled key": b"\x92\x90\x82\xa1a\x01\xa1a\x02",
    "no UTF-8": b"\x92\x91\xa2\xff\xfe\x80",
    "another signature": b"\x92\x93\x01\x02\x03\x80",
    "another type": b"\x92\x91\xa3one\x80",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_msgpack_in_the_store(runtime: Runtime, folder: Path, case: str) -> None:
    @runtime.job
    async def send(user: int) -> int:
        return user

    async with runtime:
        spoilt, sound = await send.enqueue(1), await send.enqueue(2)
        spoil(folder / "jobs.db", spoilt.id, MALFORMED[case])
        async with runtime.work({"default": 1}):
            with pytest.raises(JobFailed, match="undecodable") as caught:
                await spoilt.result(timeout=WAIT_S)
            assert await sound.result(timeout=WAIT_S) == 2

    job = caught.value.job
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, "undecodable", 1)
    assert job.error is not None
    assert job.error.error.kind.endswith("Undecodable")
    assert payload(folder / "jobs.db", spoilt.id) == MALFORMED[case]


async def test_malformed_msgpack_as_a_result(runtime: Runtime, folder: Path) -> None:
    from callboard import CallboardError

    @runtime.job
    async def send() -> int:
        return 1

    async with runtime, runtime.work():
        handle: Handle[int] = await send.enqueue()
        await handle.result(timeout=WAIT_S)
        with closing(sqlite3.connect(folder / "jobs.db")) as connection:
            connection.execute("UPDATE jobs SET result = x'c1'")
            connection.commit()

        with pytest.raises(CallboardError, match="1 bytes that cannot be decoded"):
            await handle.result(timeout=WAIT_S)
        assert (await handle.job()).result == b"\xc1"


async def test_a_job_whose_handler_is_unknown_to_the_node(runtime: Runtime) -> None:
    @runtime.job
    async def known() -> int:
        return 1

    async with runtime, runtime.work({"default": 1}):
        unknown = await runtime.enqueue("sent_by_newer_code", 1)

        async def is_back() -> bool:
            job = await unknown.job()
            return job.state is JobState.SCHEDULED

        await eventually(is_back)
        job = await unknown.job()
        assert await (await known.enqueue()).result(timeout=WAIT_S) == 1

    assert (job.attempt, job.crashes, job.error) == (0, 0, None)
    assert 1.0 < (job.run_at - job.enqueued_at).total_seconds() < 30.0


async def test_a_handler_that_cannot_be_imported_is_retried_by_policy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callboard import Retry, Settings

    monkeypatch.syspath_prepend(str(folder))
    runtime = Runtime("sqlite:///jobs.db", settings=Settings(grace="2s"))
    runtime.job("late_module:send", retry=Retry(max_attempts=50, backoff=0.05, jitter="none"))
    async with runtime, runtime.work():
        handle = await runtime.enqueue("send", 3)

        async def has_failed_once() -> bool:
            return (await handle.job()).error is not None

        await eventually(has_failed_once)
        error = (await handle.job()).error
        (folder / "late_module.py").write_text("async def send(user: int) -> int:\n    return user\n")

        assert await handle.result(timeout=WAIT_S) == 3

    assert error is not None
    assert error.error.kind.endswith("HandlerNotFound")
    assert "job 'send': cannot import 'late_module'" in error.error.message


async def test_a_slow_import_lets_other_jobs_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module waits for a file that only another job of the node makes."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "slow_module.py").write_text(
        "import pathlib, time\n"
        "while not pathlib.Path('go').exists():\n    time.sleep(0.005)\n"
        "async def slow() -> str:\n    return 'imported'\n"
    )
    runtime = Runtime("sqlite:///jobs.db")
    runtime.job("slow_module:slow")

    @runtime.job
    async def release() -> None:
        (folder / "go").touch()

    async with runtime, runtime.work({"default": 2}):
        waiting = await runtime.enqueue("slow")
        await (await release.enqueue()).result(timeout=WAIT_S)

        assert await waiting.result(timeout=WAIT_S) == "imported"


def test_malformed_msgpack_in_the_store_at_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from callboard.__main__ import main

    assert main(["enqueue", "send", "1", "--store", "sqlite:///jobs.db"]) == 0
    job_id = capsys.readouterr().out.strip()
    spoil(folder / "jobs.db", job_id, b"\xc1")

    assert main(["jobs", "show", job_id, "--store", "sqlite:///jobs.db"]) == 0
    said = capsys.readouterr()
    assert "available" in said.out
    assert said.err == ""


def spoil(path: Path, job_id: str, payload: bytes) -> None:
    with closing(sqlite3.connect(path)) as connection:
        changed = connection.execute("UPDATE jobs SET payload = ? WHERE id = ?", (payload, parse_id(job_id)))
        connection.commit()
    assert changed.rowcount == 1


def payload(path: Path, job_id: str) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        found: bytes = connection.execute("SELECT payload FROM jobs WHERE id = ?", (parse_id(job_id),)).fetchone()[0]
    return found
