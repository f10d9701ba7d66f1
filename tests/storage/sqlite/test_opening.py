"""What happens to a path that is no store, or a damaged one. Each refusal is one line and leaves the file as it was."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import Corrupt, InvalidStore, MigrationNeeded, StorageError, Unavailable
from callboard.storage.job import JobState
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.host import Host, file_system_of
from callboard.storage.sqlite.refusals import check_library
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands

from .conftest import Opener


def content(folder: Path) -> Mapping[str, bytes]:
    """Every file in a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


async def refusal(path: Path, kind: type[StorageError], *, migrate: bool = True, host: Host | None = None) -> str:
    """The line that opening `path` gives; what lies in its folder must be the same afterwards."""
    folder = path.parent
    before = content(folder) if folder.is_dir() else None
    store = SqliteStore(path, clock=ManualClock(), host=host)

    with pytest.raises(kind) as caught:
        await store.open(migrate=migrate)

    assert before == (content(folder) if folder.is_dir() else None)
    await store.close()
    line = str(caught.value)
    assert "\n" not in line
    return line


async def filled(path: Path, jobs: int = 3000) -> None:
    """A store with some pages, at rest."""
    store = SqliteStore(path, clock=ManualClock(), reserve_bytes=0)
    await store.open()
    node = NodeHands(store, ManualClock(), boot_id=b"A" * 16)
    await node.enqueue_many(jobs)
    await store.close()


async def test_a_folder_as_path_is_refused(tmp_path: Path) -> None:
    assert "is a folder: expected a file" in await refusal(tmp_path, InvalidStore)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    line = await refusal(tmp_path / "nowhere" / "jobs.db", InvalidStore)

    assert f"{tmp_path}/nowhere is no folder: make it first" in line


async def test_a_read_only_file_is_refused(path: Path) -> None:
    await filled(path)
    path.chmod(0o444)

    assert "is read-only: give write permission" in await refusal(path, InvalidStore)


async def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        assert "is read-only: SQLite needs to write its log" in await refusal(tmp_path / "jobs.db", InvalidStore)
    finally:
        tmp_path.chmod(0o755)


async def test_a_pipe_is_refused(path: Path) -> None:
    os.mkfifo(path)
    store = SqliteStore(path, clock=ManualClock())

    with pytest.raises(InvalidStore, match="no regular file"):
        await store.open()


@pytest.mark.parametrize("garbage", [b"x", b"hello, I am a text file\n" * 500, os.urandom(20_000)])
async def test_a_file_that_is_no_database_is_refused(path: Path, garbage: bytes) -> None:
    path.write_bytes(garbage)

    line = await refusal(path, Corrupt)

    assert "is damaged" in line
    assert "restore a backup" in line


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_the_database_of_another_program_is_refused(path: Path, mode: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()

    assert "belongs to another program (its tables are songs" in await refusal(path, Corrupt)


async def test_the_database_that_another_program_has_open_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA application_id = 7")
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint").fetchall()

        assert "belongs to another program" in await refusal(path, Corrupt)


async def test_an_empty_file_becomes_a_store(path: Path, open_store: Opener) -> None:
    path.touch()

    store = await open_store()

    assert await store.queues.list() == []


async def test_a_file_damaged_in_the_middle_is_refused(path: Path) -> None:
    await filled(path)
    with path.open("r+b") as file:
        file.seek(128 * 1024)
        file.write(os.urandom(64 * 1024))

    assert "is damaged" in await refusal(path, Corrupt)


async def test_a_truncated_file_is_refused(path: Path) -> None:
    await filled(path)
    os.truncate(path, path.stat().st_size // 2)

    assert "is damaged" in await refusal(path, Corrupt)


async def test_a_store_that_needs_newer_code_is_refused(path: Path) -> None:
    await filled(path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 1000 WHERE name = 'min_code'")
        connection.commit()

    store = SqliteStore(path, clock=ManualClock())
    with pytest.raises(MigrationNeeded, match="needs code that knows schema 1000 or newer"):
        await store.open()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


async def test_nothing_is_made_without_leave_to_migrate(path: Path) -> None:
    assert "holds no store yet: it is made by the first `callboard run`" in await refusal(
        path, MigrationNeeded, migrate=False
    )

    assert not path.exists()


async def test_a_network_file_system_is_refused(path: Path) -> None:
    class NetworkHost(Host):
        def file_system(self, path: str) -> str:
            return file_system_of(
                path, "/dev/sda / ext4 rw 0 0\nserver:/home /tmp nfs4 rw 0 0\n" + f"s: {path} cifs rw"
            )

    assert "network file system (cifs)" in await refusal(path, InvalidStore, host=NetworkHost())


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = "/dev/a / ext4 rw 0 0\nserver:/x /mnt/far nfs4 rw 0 0\n/dev/b /mnt/far\\040away xfs rw 0 0\n"

    assert file_system_of("/mnt/far/jobs.db", mounts) == "nfs4"
    assert file_system_of("/mnt/farther/jobs.db", mounts) == "ext4"
    assert file_system_of("/mnt/far away/jobs.db", mounts) == "xfs"


def test_an_old_library_is_refused() -> None:
    with pytest.raises(InvalidStore, match=r"SQLite 3\.35\.0 or newer is needed, this Python has 3\.34\.1"):
        check_library((3, 34, 1))

    check_library((3, 35, 0))


async def told_as_corrupt(node: NodeHands, line: str) -> bool:
    """Whether a write is refused with `line`; the store looks once a second."""
    try:
        await node.enqueue()
    except Corrupt as error:
        return line in str(error)
    return False


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_vanishes_is_noticed(path: Path, store: SqliteStore, node: NodeHands, replaced: bool) -> None:
    await node.enqueue()
    path.rename(path.with_name("elsewhere.db"))
    if replaced:
        path.write_bytes(b"")

    await eventually(lambda: told_as_corrupt(node, f"{path} was deleted or replaced while in use"))

    path.with_name("elsewhere.db").rename(path)
    await node.enqueue()


async def test_a_log_that_vanishes_is_noticed(path: Path, store: SqliteStore, node: NodeHands) -> None:
    path.with_name("jobs.db-wal").unlink()

    await eventually(lambda: told_as_corrupt(node, f"{path}-wal was deleted or replaced while in use"))


async def die_with_a_log(path: Path) -> None:
    """A process inserts a job and is gone before the log is folded into the file."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES_WITH_A_LOG, path)
    assert await process.wait() == 3


async def test_a_wiped_log_costs_the_last_commits_and_no_more(path: Path, open_store: Opener) -> None:
    await die_with_a_log(path)
    path.with_name("jobs.db-wal").unlink()

    store = await open_store()

    assert await NodeHands(store, ManualClock(), boot_id=b"A" * 16).claim() == []
    assert [finding for finding in await store.examine() if finding.subject == "integrity" and finding.level == "ok"]


async def test_a_log_is_kept_when_its_process_died(path: Path, open_store: Opener) -> None:
    await die_with_a_log(path)

    store = await open_store()

    assert len(await NodeHands(store, ManualClock(), boot_id=b"A" * 16).claim()) == 1


async def test_a_closed_store_says_so(path: Path, clock: ManualClock) -> None:
    store = SqliteStore(path, clock=clock)
    await store.open()
    await store.close()
    await store.close()

    with pytest.raises(Unavailable, match="is not open"):
        await store.queues.pause(["mail"])
    with pytest.raises(Unavailable, match="is not open"):
        await store.queues.list()

    await store.open()
    assert await store.queues.list() == []
    await store.close()


DIES_WITH_A_LOG = """
import asyncio, os, sys
from callboard.kernel.clock import ManualClock
from callboard.storage.job import NewJob
from callboard.storage.job import JobState
from callboard.storage.sqlite.driver import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=ManualClock(), reserve_bytes=0)
    await store.open()
    await store.jobs.insert([NewJob(b"j" * 16, "mail.send", "default", b"")])
    os._exit(3)

asyncio.run(main())
"""


async def test_a_file_whose_log_was_half_moved_into_it_is_opened(path: Path, tmp_path: Path) -> None:
    """Whoever moves pages from the log may be killed half-way: the file then holds some new pages, the log all."""
    store = SqliteStore(tmp_path / "busy.db", clock=ManualClock(), reserve_bytes=0)
    await store.open()
    node = NodeHands(store, ManualClock(), boot_id=b"A" * 16)
    await node.enqueue_many(1000)
    log = (tmp_path / "busy.db-wal").read_bytes()
    first_page = bytearray(log[56 : 56 + 4096])  # as the first frame of the log has it
    pages = (tmp_path / "busy.db").read_bytes()
    await store.close()
    assert first_page.startswith(b"SQLite format 3\0")
    first_page[28:32] = (1000).to_bytes(4)  # a size in pages that the file has not grown to yet
    path.write_bytes(bytes(first_page) + pages[4096:])
    path.with_name(f"{path.name}-wal").write_bytes(log)

    again = SqliteStore(path, clock=ManualClock(), reserve_bytes=0)
    await again.open()
    counts = await again.queues.counts()
    await again.close()

    assert counts[JobState.AVAILABLE] == 1000
