"""A new file gets its schema once, also when several processes start at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.migrate import load_migrations
from callboard.storage.role import Term
from callboard.storage.sqlite.driver import SqliteStore
from tests.support.node_hands import NodeHands

from .conftest import Opener

OPENS_AND_INSERTS = """
import asyncio, os, sys
from callboard.kernel.clock import SystemClock
from callboard.storage.job import NewJob
from callboard.storage.sqlite.driver import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock(), reserve_bytes=0)
    await store.open()
    assert await store.jobs.insert([NewJob(os.urandom(16), "mail.send", "default", b"")]) == [True]
    await store.close()

asyncio.run(main())
"""


KNOWN = load_migrations("callboard.storage.sqlite", "sql/migrations")


@contextmanager
def former_code() -> Iterator[None]:
    """Handles opened within know the first schema alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("callboard.storage.sqlite.connection.load_migrations", lambda package, folder: KNOWN[:1])
        yield


def meta(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, value FROM meta"))


async def test_a_file_of_former_code_is_brought_up_to_date_and_keeps_its_jobs(
    path: Path, open_store: Opener, clock: ManualClock
) -> None:
    with former_code():
        former = await open_store()
        job_id = await NodeHands(former, clock, boot_id=b"A" * 16).enqueue()
        await former.close()
    was = meta(path)
    assert was["schema_version"] == 1

    store = await open_store()

    node = NodeHands(store, clock, boot_id=b"A" * 16, seed=3)
    assert (await node.claim_one()).id == job_id
    [row] = await store.roles.campaign(["janitor"], holder=node.boot_id, lease_ms=30_000)
    assert row.term == Term("janitor", node.boot_id, 1)
    assert await store.jobs.insert([node.new_job()], fence=row.term) == [True]
    assert list(await store.controls.take(node.boot_id, limit=1)) == []
    now = meta(path)
    assert (now["schema_version"], now["min_code"], now["store_id"]) == (KNOWN[-1].number, 1, was["store_id"])


async def test_former_code_goes_on_working_beside_and_starts_on_the_newer_schema(
    path: Path, open_store: Opener, clock: ManualClock
) -> None:
    with former_code():
        node = NodeHands(await open_store(), clock, boot_id=b"A" * 16)
        first = await node.start()

    await open_store()

    assert meta(path)["schema_version"] == KNOWN[-1].number
    assert await node.finish(first)
    assert await node.finish(await node.start())
    with former_code():
        node = NodeHands(await open_store(), clock, boot_id=b"B" * 16, seed=2)
        assert await node.finish(await node.start())
    assert meta(path)["schema_version"] == KNOWN[-1].number


async def test_several_starters_bring_a_file_of_former_code_up_to_date(path: Path, open_store: Opener) -> None:
    with former_code():
        await (await open_store()).close()

    starters = [await asyncio.create_subprocess_exec(sys.executable, "-c", OPENS_AND_INSERTS, path) for _ in range(4)]

    assert [await starter.wait() for starter in starters] == [0] * 4
    assert meta(path)["schema_version"] == KNOWN[-1].number
    assert list(await (await open_store()).roles.list()) == []


async def test_several_starters_make_one_schema(path: Path, open_store: Opener) -> None:
    starters = [await asyncio.create_subprocess_exec(sys.executable, "-c", OPENS_AND_INSERTS, path) for _ in range(4)]
    assert [await starter.wait() for starter in starters] == [0] * 4

    await open_store()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM meta WHERE name = 'store_id'").fetchone() == (1,)


async def test_several_handles_open_at_once(open_store: Opener) -> None:
    stores: list[SqliteStore] = await asyncio.gather(*(open_store() for _ in range(4)))

    for store in stores:
        await store.queues.pause(["mail"])
        assert [row.name for row in await store.queues.list()] == ["mail"]


async def test_a_store_is_itself_after_reopening(path: Path, open_store: Opener) -> None:
    await (await open_store()).close()
    with closing(sqlite3.connect(path)) as connection:
        first = connection.execute("SELECT * FROM meta ORDER BY name").fetchall()

    await (await open_store()).close()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM meta ORDER BY name").fetchall() == first
