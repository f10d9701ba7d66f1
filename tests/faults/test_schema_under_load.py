"""F62: a schema that grows under load, nodes rolled to the code that needs it and back again: nobody loses a job.

The newer code is `newer.py`: it knows one migration more, which adds a column that may be null, and fills the column
when a job ends. Whoever ended a job can so be read from the store.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callboard import JobState
from callboard.storage.ids import parse_id
from harness.processes import Proc
from tests.faults.stage import NODE, Stage, staged
from tests.support.eventually import eventually
from tests.support.node_hands import ALL
from tests.support.servers import postgres
from tests.support.urls import fresh_url

NEWER = Path(__file__).parent / "newer.py"
JOBS = 5_000  # at least
BATCH = 10
LEASE = "30s"  # nobody dies here, so a slow machine must expire nobody
WAITING = 100  # jobs not ended yet, at most: the load goes on for as long as what happens beside it


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


class Load:
    """Enqueues job after job, and knows which ids were acknowledged."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.ids: list[bytes] = []
        self._is_over = True

    async def ended(self) -> int:
        return (await self._stage.runtime.node.store.queues.counts("mail"))[JobState.COMPLETED]

    async def run(self, count: int) -> list[bytes]:
        """The ids of so many new jobs, all of which ended."""
        before = len(self.ids)
        while len(self.ids) < before + count:
            await self._enqueue()
        await eventually(self._all_ended, within_s=30)
        return self.ids[before:]

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """A load that begins before what stands within, and ends after it."""
        before = await self.ended()
        self._is_over = False
        running = asyncio.create_task(self._until_over())

        async def has_begun() -> bool:
            return running.done() or await self.ended() > before

        try:
            await eventually(has_begun, within_s=30)
            yield
        finally:
            self._is_over = True
            await running
        await eventually(self._all_ended, within_s=30)

    async def _until_over(self) -> None:
        while not self._is_over:
            await self._enqueue()

    async def _enqueue(self) -> None:
        await eventually(self._has_room, within_s=30)
        calls = [self._stage.call("mail", queue="mail") for _ in range(BATCH)]
        self.ids += [parse_id(handle.id) for handle in await self._stage.runtime.enqueue_many(calls)]

    async def _has_room(self) -> bool:
        return len(self.ids) - await self.ended() < WAITING

    async def _all_ended(self) -> bool:
        return await self.ended() == len(self.ids)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
async def test_f62_a_schema_grows_under_load_and_nodes_roll_to_the_new_code_and_back(url: str, tmp_path: Path) -> None:
    async with staged(tmp_path, url) as stage:
        load = Load(stage)
        nodes = [start(stage, NODE), start(stage, NODE)]
        before = await schema_of(url)
        await load.run(600)

        async with load.beside():
            await migrate_twice(stage, url)
        assert await schema_of(url) == before + 1
        assert set((await notes_of(url)).values()) == {None}

        async with load.beside():
            nodes = [await replaced(stage, node, NEWER) for node in nodes]
        by_newer = await load.run(600)
        notes = await notes_of(url)
        assert {notes[job_id] for job_id in by_newer} == {"newer"}

        async with load.beside():
            nodes = [await replaced(stage, node, NODE) for node in nodes]
        by_older = await load.run(max(JOBS - len(load.ids), 600))
        notes = await notes_of(url)
        assert {notes[job_id] for job_id in by_older} == {None}

        for node in nodes:
            await stop(node)
        jobs = await stage.runtime.node.store.jobs.select(ALL, limit=len(load.ids) + 1)
        assert len(load.ids) >= JOBS
        assert sorted(job.id for job in jobs) == sorted(load.ids)
        assert {(job.state, job.attempt, job.crashes) for job in jobs} == {(JobState.COMPLETED, 1, 0)}
        effects = Counter(record.job for record in stage.records("effect"))
        assert (len(effects), set(effects.values())) == (len(load.ids), {1})
        print(f"{len(load.ids)} jobs, each ended once: {Counter(notes.values())}")
        for proc in stage.pool.procs:
            assert "Traceback" not in proc.text(), proc.tail()


def start(stage: Stage, script: Path) -> Proc:
    return stage.node("mail=10", script=script, CALLBOARD_LEASE=LEASE)


async def replaced(stage: Stage, node: Proc, script: Path) -> Proc:
    """A node that runs `script`, started before the other one ends."""
    proc = stage.spawn("mail=10", script=script, CALLBOARD_LEASE=LEASE)
    await eventually(lambda: proc.is_ready, within_s=30)
    await stop(node)
    return proc


async def stop(node: Proc) -> None:
    node.signal(signal.SIGTERM, alone=True)
    await eventually(lambda: node.exit_code is not None, within_s=30)
    assert node.exit_code == 0, node.tail()


async def migrate_twice(stage: Stage, url: str) -> None:
    """Two at once, of which one does it; a second column of that name would be an error."""
    both = [stage.pool.spawn(NEWER, "migrate", "--store", url) for _ in range(2)]
    for one in both:
        assert "up to date" in await said_by(one)
    assert "up to date" in await said_by(stage.pool.spawn(NEWER, "migrate", "--check", "--store", url))


async def said_by(command: Proc) -> str:
    await eventually(lambda: command.exit_code is not None, within_s=30)
    assert command.exit_code == 0, command.tail()
    return command.text()


async def schema_of(url: str) -> int:
    [[version]] = await rows_of(url, "SELECT value FROM {}meta WHERE name = 'schema_version'")
    return int(str(version))


async def notes_of(url: str) -> dict[bytes, str | None]:
    """Per job that ended, what the newer column holds."""
    table = "jobs" if url.startswith("sqlite") else "done"
    return dict(await rows_of(url, f"SELECT id, note FROM {{}}{table}"))


async def rows_of(url: str, statement: str) -> list[Any]:
    """The rows of a statement, past Callboard."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute(statement.format("")).fetchall()
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
        schema = url.rpartition("schema=")[2]
        return [tuple(row) for row in await connection.fetch(statement.format(f"{schema}."))]
    finally:
        await connection.close()
