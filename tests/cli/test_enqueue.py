"""`callboard enqueue`: a job by its name, with arguments as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from callboard.actors.calls import read_call
from callboard.storage.ids import parse_id
from callboard.storage.job import Job, JobState
from callboard.storage.ports.store import Store

from .conftest import Cli, OnStore


class Stored(Protocol):
    def __call__(self, job_id: str) -> Job: ...


@pytest.fixture
def stored(on_store: OnStore) -> Stored:
    def read(job_id: str) -> Job:
        async def get(store: Store) -> Job | None:
            return (await store.jobs.get([parse_id(job_id)]))[0]

        job = on_store(get)
        assert job is not None
        return job

    return read


def test_enqueue_prints_the_id_of_a_job_with_its_arguments(cli: Cli, stored: Stored) -> None:
    said = cli("enqueue", "send", "42", '"pt"', '{"a": [1.5, null]}', "-7", "to=true", 'note="x=y"')

    job = stored(said.out.strip())
    assert said.code == 0
    assert said.err.startswith("stored in sqlite:///callboard.db; if your runtime names another store")
    assert (job.name, job.queue, job.state, job.priority) == ("send", "default", JobState.AVAILABLE, 2)
    assert read_call(job.payload) == ([42, "pt", {"a": [1.5, None]}, -7], {"to": True, "note": "x=y"})


def test_enqueue_takes_queue_priority_and_delay(cli: Cli, stored: Stored) -> None:
    said = cli("enqueue", "send", "--queue", "mail", "--priority", "0", "--delay", "5m", "--json")

    job = stored(said.json["id"])
    assert said.json == {"id": said.json["id"], "name": "send", "queue": "mail"}
    assert (job.queue, job.priority, job.state) == ("mail", 0, JobState.SCHEDULED)
    assert 299_000 <= job.run_at - job.inserted_at <= 300_000


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["send", "pt"], "argument 1: expected a JSON value, found 'pt'; text is written '\"so\"'"),
        (["send", "1", "NaN"], "argument 2: expected a JSON value, found 'NaN'"),
        (["send", "lang=pt"], "argument 1: expected a JSON value, found 'lang=pt'"),
        (["send", "a=1", "2"], "argument 2: expected key=JSON after the first keyword, found '2'"),
        (["send", "a=1", "a=2"], "argument 2: a was given before"),
        (["send", "--quue", "mail"], "no option --quue; see `callboard enqueue --help`"),
        (["send", "--priority", "4"], "Invalid value for '--priority'"),
        (["send", "--delay", "-5s"], "--delay: expected"),
        (["send", "--queue", ""], "queue name: expected 1 to 128 characters; found none"),
        (["_send"], "job name '_send': names that begin with"),
        (["send", '"' + "x" * 262_144 + '"'], "job 'send': arguments of 262,152 bytes, the limit is 262,144"),
        (["send", "x" * 1000], f"argument 1: expected a JSON value, found '{'x' * 60}'...; text is"),
    ],
)
def test_a_job_that_cannot_be_is_refused_and_nothing_written(
    cli: Cli, folder: Path, args: list[str], said: str
) -> None:
    result = cli("enqueue", *args)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"callboard: {said}")
    assert result.err.count("\n") == 1
    assert list(folder.iterdir()) == []
