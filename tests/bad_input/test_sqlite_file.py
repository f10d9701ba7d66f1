"""Bad input: the SQLite file. Refused when the store is opened, and the file stays as it was, to the byte."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from callboard import CallboardError, Runtime
from callboard.storage.errors import Corrupt, InvalidStore, MigrationNeeded

from .conftest import Cli, contents, refused

Case = tuple[Callable[[Path], None], type[CallboardError], str]


def a_folder(path: Path) -> None:
    path.mkdir()


def read_only(path: Path) -> None:
    a_store(path)
    path.chmod(0o444)


def no_database(path: Path) -> None:
    path.write_bytes(b"Meeting notes, not a database.\n" * 100)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()


def damaged(path: Path) -> None:
    a_store(path)
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = b"\xaa" * (2 * 4096)
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    a_store(path)
    path.write_bytes(path.read_bytes()[: 2 * 4096 + 100])


def of_newer_code(path: Path) -> None:
    a_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 1000 WHERE name = 'min_code'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def a_store(path: Path) -> None:
    """With one job in it, closed again; made in a thread, since the test may run on a loop."""

    def make() -> None:
        runtime = Runtime(f"sqlite:///{path}")
        runtime.job(kept).enqueue_sync()
        runtime.close_sync()

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()


async def kept() -> None: ...


CASES: dict[str, Case] = {
    "directory": (a_folder, InvalidStore, "jobs.db is a folder: expected a file, or a name for a new one in it"),
    "read_only": (read_only, InvalidStore, "jobs.db is read-only: give write permission, or another path"),
    "no_database": (no_database, Corrupt, "jobs.db is damaged"),
    "foreign": (of_another_program, Corrupt, "jobs.db belongs to another program (its tables are recipes, ...)"),
    "damaged": (damaged, Corrupt, "jobs.db is damaged"),
    "truncated": (cut_off, Corrupt, "jobs.db is damaged"),
    "min_code": (of_newer_code, MigrationNeeded, "needs code that knows schema 1000 or newer; this code knows"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_file_that_is_no_store_of_ours(folder: Path, case: str) -> None:
    spoil, kind, said = CASES[case]
    spoil(folder / "jobs.db")
    before = contents(folder)
    runtime = Runtime("sqlite:///jobs.db")

    with refused(kind, by=said):
        await runtime.__aenter__()

    assert not runtime.is_open
    assert main_file(contents(folder)) == main_file(before)
    if case != "min_code":
        assert contents(folder) == before


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_no_store_of_ours_at_the_command_line(folder: Path, refused_by_cli: Cli, case: str) -> None:
    spoil, _, said = CASES[case]
    spoil(folder / "jobs.db")
    (folder / "service_of_files.py").write_text("from callboard import Runtime\nruntime = Runtime('sqlite:///jobs.db')")

    for command in (["jobs", "list"], ["enqueue", "send"], ["prune"]):
        assert said in refused_by_cli(*command, "--store", "sqlite:///jobs.db")
    assert said in refused_by_cli("run", "service_of_files:runtime")


def main_file(found: dict[str, bytes | None]) -> bytes | None:
    return found["jobs.db"]


pytestmark = pytest.mark.anyio
