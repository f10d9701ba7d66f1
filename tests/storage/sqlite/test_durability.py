"""Nothing is answered before it is on disk; others need not wait for that."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from callboard.storage.errors import Corrupt
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.durability import FLUSHES_ITSELF
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands

pytestmark = pytest.mark.skipif(not FLUSHES_ITSELF, reason="SQLite waits for the disk itself on this system")


class Disk:
    """`os.fdatasync`, held up until `release`, or failing once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = os.fdatasync
        self._gate = threading.Event()
        self.files: list[str] = []
        self.failure: OSError | None = None
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)

    def release(self) -> None:
        self._gate.set()

    def _fdatasync(self, file: int) -> None:
        self.files.append(os.readlink(f"/proc/self/fd/{file}"))
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self._gate.wait(20)
        self._real(file)


def stored(path: Path) -> int:
    """How many jobs another connection sees."""
    with closing(sqlite3.connect(path)) as connection:
        [[count]] = connection.execute("SELECT count(*) FROM jobs")
    return int(count)


async def test_a_commit_is_answered_when_the_disk_has_it_and_seen_by_others_before(
    store: SqliteStore, node: NodeHands, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    inserting = asyncio.ensure_future(store.jobs.insert([node.new_job()]))
    await eventually(lambda: stored(path) == 1)
    await eventually(lambda: disk.files == [f"{path}-wal"])
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the lock is free: others commit while this one waits for the disk
        other.execute("ROLLBACK")
    assert not inserting.done()

    disk.release()
    assert await inserting == [True]


async def test_a_disk_that_failed_once_is_not_believed_again(
    store: SqliteStore, node: NodeHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.release()
    disk.failure = OSError(5, "Input/output error")

    with pytest.raises(Corrupt, match="did not keep a commit"):
        await store.jobs.insert([node.new_job()])

    with pytest.raises(Corrupt, match="did not keep a commit"):
        await store.jobs.insert([node.new_job()])
