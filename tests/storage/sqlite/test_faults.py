"""What others do to the file while it is worked on: hold its lock, take its permissions."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from callboard import Runtime
from callboard.storage.errors import InvalidStore, Unavailable
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.faults import translate
from tests.support.node_hands import NodeHands

from .conftest import Opener

HOLDS_THE_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(3)
connection.execute("ROLLBACK")
"""
EVERY_S = 0.005


@asynccontextmanager
async def lags() -> AsyncIterator[list[float]]:
    """How late the event loop was, looked at 200 times a second."""
    seen: list[float] = []

    async def look() -> None:
        while True:
            due = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            seen.append(time.monotonic() - due)

    looking = asyncio.create_task(look())
    yield seen
    looking.cancel()
    await asyncio.wait([looking])


async def test_f31_a_lock_held_for_three_seconds_is_waited_for_beside_the_loop(path: Path) -> None:
    """No error reaches a caller, and the event loop goes on meanwhile."""
    runtime = Runtime(f"sqlite:///{path}")
    ran: list[int] = []

    @runtime.job
    async def note(number: int) -> None:
        ran.append(number)

    async with runtime, runtime.work({"default": 5}):
        await note.enqueue(0)
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDS_THE_LOCK, path, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        async with lags() as seen:
            handles = await asyncio.gather(*(note.enqueue(number) for number in range(1, 21)))
            took = time.monotonic() - began
        for handle in handles:
            await handle.result(timeout=20)
        await holder.communicate()

    assert took > 1.0  # they did wait
    assert sorted(set(ran)) == list(range(21))
    assert len(seen) > 10
    assert sorted(seen)[int(len(seen) * 0.99)] < 0.5, sorted(seen)[-10:]


async def test_f29_permissions_that_are_taken_away_stop_no_store_that_is_open(
    path: Path, tmp_path: Path, store: SqliteStore, node: NodeHands, open_store: Opener
) -> None:
    """What was opened stays open for writing; who comes after it is refused in one line."""
    claimed = await node.start()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert await node.finish(claimed)
        assert await node.enqueue()
        with pytest.raises(InvalidStore, match="is read-only"):
            await open_store()
    finally:
        tmp_path.chmod(0o755)


def test_f29_a_file_that_cannot_be_written_any_more_is_waited_for(path: Path) -> None:
    """As when the file system under it turned read-only: outcomes are kept until it can be written again."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with closing(connection), pytest.raises(sqlite3.OperationalError) as refused:
        connection.execute("INSERT INTO t VALUES (1)")

    assert isinstance(translate(refused.value, str(path)), Unavailable)
    assert isinstance(translate(refused.value, str(path), is_opening=True), InvalidStore)
