"""A new file gets its schema once, also when several processes start at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from callboard.storage.sqlite.driver import SqliteStore

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
