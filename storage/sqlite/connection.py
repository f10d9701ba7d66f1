"""Opening a file as a store: what is refused, how a new file is laid out, when leases of a former boot end.

Nothing is written before everything has been looked at (`refusals.py`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from time import sleep as _pause
from urllib.parse import quote

from ...kernel.clock import Clock, SystemClock
from ..errors import Corrupt, InvalidStore, StorageReset, Unavailable
from ..migrate import Schema, load_migrations, missing
from ..statements import load
from .durability import SYNCHRONOUS, Log
from .faults import is_busy
from .host import Host
from .refusals import APPLICATION_ID, check_pages, refuse_unusable, uri
from .turns import Turns

_PACKAGE = "callboard.storage.sqlite"
_CACHED_STATEMENTS = 256
_LOOK_AT_FILE_S = 0.25

# What a start of the machine ends: since which schema, where the boot is noted for which it was done, and how. Noted
# apart, since code from before one of them does the others alone.
_ENDS_WITH_THE_MACHINE = (
    (1, "machine_boot", load(__package__, "sql/leases/end_all.sql")),
    (2, "roles_boot", load(__package__, "sql/roles/end_all.sql")),
)


@dataclass(slots=True)
class Opened:
    """The writing connection and what belongs to it."""

    connection: sqlite3.Connection
    turns: Turns
    log: Log
    path: str
    identities: dict[str, tuple[int, int] | None]  # device and inode, of the file and of its log
    store_id: object  # the sentinel within
    _looked_at: float = 0.0

    def check_identity(self) -> None:
        """Raises `StorageReset` when a path leads to another file, or the file to another store; looks now and then."""
        now = SystemClock().monotonic()
        if now - self._looked_at < _LOOK_AT_FILE_S:
            return
        for name, identity in self.identities.items():
            if _identity(name) != identity:
                raise StorageReset(f"{name} was deleted or replaced")
        try:
            store_id = meta(self.connection, "store_id")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                return
            raise StorageReset(f"{self.path} was emptied ({error})") from error
        if store_id != self.store_id:
            raise StorageReset(f"{self.path} was emptied, or overwritten with another store,")
        self._looked_at = now

    def roll_back(self) -> None:
        """End a transaction that failed. A connection that cannot even do that is replaced by a new one."""
        if not self.connection.in_transaction:
            return  # some errors, a full disk among them, have rolled back already
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.connection.close()
            self.connection = connect(self.path)

    def fold_log(self) -> None:
        """Move the log's pages into the file, most of which have their place there, and cut the log."""
        with contextlib.suppress(sqlite3.Error):  # then the next write fails as the last one did
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of everything; the last process to do so folds the log into the file."""
        self.connection.close()
        self.turns.close()
        self.log.close()


def side_folder(path: str) -> str:
    """Where sockets and the turnstile of a store lie."""
    return f"{path}-wake"


def open_store(path: str, *, clock: Clock, host: Host, migrate: bool, lock_timeout_s: float) -> Opened:
    """The file at the absolute `path` as a store, in the thread that will use the connection.

    Raises `InvalidStore`, `Corrupt`, `MigrationNeeded` or `Unavailable`; the file is then as it was, and none was made.
    """
    was_checked = refuse_unusable(path, host, migrate=migrate)
    # While it is being opened a connection waits as SQLite does; afterwards `Turns` does the waiting.
    connection = connect(path, wait_s=lock_timeout_s)
    turns: Turns | None = None
    log: Log | None = None
    try:
        _make_ours(connection, path, lock_timeout_s)
        if not was_checked:
            check_pages(connection, path)
        os.makedirs(side_folder(path), exist_ok=True)
        turns = Turns(os.path.join(side_folder(path), "turn"), path=path, limit_s=lock_timeout_s)
        _bring_up_to_date(connection, turns, path, migrate=migrate, boot=host.boot_id(clock))
        connection.execute("PRAGMA busy_timeout = 0")
        # The log's file is there since the first reading, and stays while a connection is open.
        log = Log(path)
        log.flush()
        store_id = meta(connection, "store_id")
        if store_id is None:
            raise Corrupt(f"{path} does not say which store it is: restore a backup, or start with a new file")
        identities = {name: _identity(name) for name in (path, f"{path}-wal")}
        return Opened(connection, turns, log, path, identities, store_id)
    except BaseException as error:
        connection.close()
        for held in (turns, log):
            if held is not None:
                held.close()
        if isinstance(error, OSError):
            raise InvalidStore(f"{path} cannot be opened: {error}") from error
        raise


def connect(path: str, *, wait_s: float = 0) -> sqlite3.Connection:
    """A connection with the settings that every writer of a store needs; each lock is waited for `wait_s`."""
    connection = sqlite3.connect(
        uri(path, "rwc"), uri=True, timeout=wait_s, isolation_level=None, cached_statements=_CACHED_STATEMENTS
    )
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def _make_ours(connection: sqlite3.Connection, path: str, limit_s: float) -> None:
    """Mark an empty file as ours, in the file itself and not in a log, then go over to the log."""
    for _ in _tries(limit_s, path):
        with _passing_busy():
            [[found]] = connection.execute("PRAGMA application_id")
            if found != APPLICATION_ID:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("COMMIT")
            [[mode]] = connection.execute("PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise InvalidStore(f"{path} cannot keep a write-ahead log (it stays in {mode}): use a local disk")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            return


def _bring_up_to_date(connection: sqlite3.Connection, turns: Turns, path: str, *, migrate: bool, boot: str) -> None:
    """Apply what is missing and end leases and terms of a former boot, in one transaction; two starters take turns."""
    known = load_migrations(_PACKAGE, "sql/migrations")
    url = f"sqlite:///{quote(path)}"
    before = _schema(connection)
    missing(before, known, store=path, url=url, migrate=migrate)
    turns.begin(connection)
    try:
        schema = _schema(connection)
        for migration in missing(schema, known, store=path, url=url, migrate=migrate):
            for statement in migration.statements:
                connection.execute(statement)
            schema = Schema(migration.number, max(schema.min_code, migration.min_code))
            _set_meta(connection, "schema_version", schema.version)
            _set_meta(connection, "min_code", schema.min_code)
        for since, noted_as, end_all in _ENDS_WITH_THE_MACHINE:
            if schema.version >= since and meta(connection, noted_as) != boot:
                connection.execute(end_all.text)
                _set_meta(connection, noted_as, boot)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if schema != before:
        connection.execute("PRAGMA wal_checkpoint").fetchall()  # so that the file is whole without its log


def meta(connection: sqlite3.Connection, name: str) -> object:
    """A fact that the store keeps about itself, or None."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _set_meta(connection: sqlite3.Connection, name: str, value: str | int) -> None:
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def _schema(connection: sqlite3.Connection) -> Schema:
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'").fetchone()
    if exists is None:
        return Schema(0, 0)
    version, min_code = meta(connection, "schema_version"), meta(connection, "min_code")
    if not isinstance(version, int) or not isinstance(min_code, int):
        return Schema(0, 0)
    return Schema(version, min_code)


def _tries(limit_s: float, path: str) -> Iterator[None]:
    now = SystemClock().monotonic
    started = now()
    while now() - started < limit_s:
        yield
        _pause(0.002)
    raise Unavailable(f"{path} was locked by another process for {limit_s:.1f} s while it was being opened")


@contextlib.contextmanager
def _passing_busy() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
