"""What is refused before a file is opened as a store. Nothing is written, locked or left beside the file.

A file is read through SQLite alone: closing any other handle on it would drop the locks that this process holds on it
(POSIX; SQLite docs, "How To Corrupt", 2.2).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from urllib.parse import quote

from ..errors import Corrupt, InvalidStore, MigrationNeeded, StorageError
from .faults import damaged, is_damaged, translate
from .host import NETWORK_FILE_SYSTEMS, Host

APPLICATION_ID = 0x43414C42  # "CALB", in the header of every file of ours (SQLite docs, PRAGMA application_id)
OLDEST_SQLITE = (3, 35, 0)  # RETURNING, and UPDATE FROM without the bugs of its first release
_SMALLEST = 512  # bytes of the smallest page
_LOG_S = 5.0  # the longest that reading waits while another process recovers the log
_CHECK_LIMIT_S = 0.5  # of quick_check at open; a larger file is checked as far as that goes


def refuse_unusable(path: str, host: Host, *, migrate: bool) -> bool:
    """Raises `InvalidStore`, `Corrupt` or `MigrationNeeded` for a path that cannot become, or is not, a store.

    True: its pages were checked, too. They cannot be while a log lies beside the file, since some of them are there.
    """
    check_library(sqlite3.sqlite_version_info)
    _check_place(path, host)
    return _check_content(path, migrate=migrate)


def check_library(version: tuple[int, ...]) -> None:
    """Raises `InvalidStore` for a SQLite library that lacks what the statements use."""
    if version < OLDEST_SQLITE:
        found, oldest = (".".join(map(str, one)) for one in (version, OLDEST_SQLITE))
        raise InvalidStore(f"SQLite {oldest} or newer is needed, this Python has {found}: use a newer Python build")


def _check_place(path: str, host: Host) -> None:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise InvalidStore(f"{path} is a folder: expected a file, or a name for a new one in it")
    if not os.path.isdir(folder):
        raise InvalidStore(f"{folder} is no folder: make it first, or give another path for the SQLite file")
    kind = host.file_system(os.path.realpath(path))
    if kind in NETWORK_FILE_SYSTEMS:
        raise InvalidStore(
            f"{path} lies on a network file system ({kind}), where SQLite's locks cannot be trusted: use a local disk, "
            f"or a PostgreSQL or Redis store"
        )
    if not _writable(folder):
        raise InvalidStore(f"{folder} is read-only: SQLite needs to write its log beside the file")
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise InvalidStore(f"{path} is no regular file: expected a SQLite file, or a name for a new one")
        if not _writable(path):
            raise InvalidStore(f"{path} is read-only: give write permission, or another path")


def _writable(path: str) -> bool:
    # Root may write where no permission bit says so; a file marked read-only is meant to stay as it is.
    return os.access(path, os.W_OK) and bool(os.stat(path).st_mode & 0o222)


def _check_content(path: str, *, migrate: bool) -> bool:
    """Look at a file without writing to it, and without leaving anything beside one that is at rest."""
    if not os.path.exists(path) or os.stat(path).st_size == 0:
        if not migrate:
            raise MigrationNeeded(
                f"{path} holds no store yet: it is made by the first `callboard run` or `callboard enqueue` on it"
            )
        return True
    if _is_at_rest(path):
        if os.stat(path).st_size < _SMALLEST:  # SQLite would take it for an empty one and write over it
            raise damaged(path, f"no SQLite database: {os.stat(path).st_size} bytes")
        try:
            with contextlib.closing(sqlite3.connect(uri(path, "ro", immutable=1), uri=True)) as connection:
                _refuse_foreign(connection, path, may_be_empty=True)
                check_pages(connection, path)
            return True
        except Corrupt:
            if _is_at_rest(path):
                raise
        # Another process began to write meanwhile: what was read may be torn.
    # While a log lies beside it, the file alone says nothing: some of its pages are in the log, and whoever moved them
    # may have been killed half-way. So it is read as SQLite reads it, log and all.
    with contextlib.closing(sqlite3.connect(uri(path, "ro"), uri=True, timeout=_LOG_S)) as connection:
        try:
            _refuse_foreign(connection, path, may_be_empty=False)
        except StorageError as error:
            if isinstance(error, Corrupt):
                raise
            # It cannot be read without writing (a journal to roll back, say): opening it tells.
    return False


def _is_at_rest(path: str) -> bool:
    return not os.path.exists(f"{path}-wal") and not os.path.exists(f"{path}-journal")


def _refuse_foreign(connection: sqlite3.Connection, path: str, *, may_be_empty: bool) -> None:
    """Raises `Corrupt` for a file that is not ours, and whatever keeps it from being read."""
    try:
        [[found]] = connection.execute("PRAGMA application_id")
        tables = [name for [name] in connection.execute("SELECT name FROM sqlite_master LIMIT 3")]
    except sqlite3.DatabaseError as error:
        raise translate(error, path, is_opening=True) from error
    if found != APPLICATION_ID and (found or tables or not may_be_empty):
        shown = f"its tables are {', '.join(tables)}, ..." if tables else f"its application id is {found:#x}"
        raise Corrupt(
            f"{path} belongs to another program ({shown}): expected a file made by callboard; give another path"
        )


def check_pages(connection: sqlite3.Connection, path: str) -> None:
    """`PRAGMA quick_check`, for a bounded time. Raises `Corrupt`."""
    timer = threading.Timer(_CHECK_LIMIT_S, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        [[found]] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            return
        raise
    except sqlite3.DatabaseError as error:
        if is_damaged(error):
            raise damaged(path, str(error)) from error
        raise
    finally:
        timer.cancel()
    if found != "ok":
        raise damaged(path, " ".join(found.split())[:200])


def uri(path: str, mode: str, **options: int) -> str:
    """How SQLite is told a path and how to open it."""
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    return f"file:{quote(path)}?mode={mode}{extra}"
