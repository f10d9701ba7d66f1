"""Jobs written within a transaction of the caller's: the writer's verbs, on his `sqlite3` or `aiosqlite` connection.

SQLite has one writer at a time: from the first write here to the caller's commit every node on the file waits, the
renewals of their leases too. So such transactions are to be short. A commit of somebody else's connection makes no
sound; whoever enqueued looks for it and then wakes the others.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import aiosqlite

from ...kernel.clock import Clock
from ..errors import InvalidTransaction, StorageError
from ..job import NewJob
from ..ports.transaction import TransactionStore
from ..records import Finish, Wakeup
from ..statements import load
from .ends import Ends, finish
from .inserts import insert
from .reader import Reader
from .rows import job_of
from .transaction import Transaction
from .wakeups import SqliteWakeups

T = TypeVar("T")
_GET = load(__package__, "sql/jobs/get.sql")
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05
_LOOKS_FOR_S = 10.0  # afterwards whoever polls finds it


class SqliteTransactions(TransactionStore):
    """Writes by way of somebody else's connection."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        reader: Reader,
        wakeups: SqliteWakeups,
        refusal: Callable[[], StorageError | None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._reader = reader
        self._wakeups = wakeups
        self._refusal = refusal
        self._pending: dict[bytes, tuple[set[Wakeup], float]] = {}  # by job: whom its commit wakes, when to give up
        self._pause_s = _FIRST_PAUSE_S
        self._looking: asyncio.Task[None] | None = None

    async def insert(self, tx: object, jobs: Sequence[NewJob]) -> list[bool]:
        if (refusal := self._refusal()) is not None:
            raise refusal
        [created] = await self._write(tx, lambda transaction: insert(transaction, [jobs]))
        ready = [job for job, is_new in zip(jobs, created, strict=True) if is_new and job.run_at is None]
        if ready:
            self._watch(ready[0].id, {Wakeup("work", job.queue) for job in ready})
        return list(created)

    async def complete(self, tx: object, end: Finish, *, boot_id: bytes) -> bool:
        [[stands]] = await self._write(tx, lambda transaction: finish(transaction, [Ends([end], boot_id)]))
        return stands

    async def close(self) -> None:
        """Look for no commit any more."""
        looking = self._looking
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    async def _write(self, tx: object, verb: Callable[[Transaction], T]) -> T:
        if isinstance(tx, sqlite3.Connection):
            return self._within(tx, verb)
        if isinstance(tx, aiosqlite.Connection):
            # Several statements in its thread, with none of the caller's between them; it has no public way for that.
            return await tx._execute(self._within, tx._conn, verb)  # type: ignore[no-any-return,no-untyped-call]
        found = f"{type(tx).__module__}.{type(tx).__qualname__}"
        raise InvalidTransaction(f"tx=: expected a sqlite3 or aiosqlite connection to {self._path}; found {found}")

    def _within(self, connection: sqlite3.Connection, verb: Callable[[Transaction], T]) -> T:
        factory, connection.text_factory = connection.text_factory, str  # the caller's may make anything of a text
        try:
            return self._on_plain(connection, verb)
        finally:
            connection.text_factory = factory

    def _on_plain(self, connection: sqlite3.Connection, verb: Callable[[Transaction], T]) -> T:
        self._refuse_foreign(connection)
        if not connection.in_transaction and _commits_at_once(connection):
            raise InvalidTransaction(
                "tx=: expected a connection with an open transaction, found none: this would be committed at once; "
                'begin one by connection.execute("BEGIN IMMEDIATE")'
            )
        cursor = connection.cursor()
        cursor.row_factory = None  # the caller's may make anything of a row
        transaction = Transaction(
            cursor,
            now=self._clock.wall_ms(),
            lease_now=int(self._clock.monotonic() * 1000),
            is_careful=True,
            known_queues=set(),
        )
        if not connection.in_transaction:
            cursor.execute(f"BEGIN {connection.isolation_level or ''}")  # as the connection itself would do
        # A part of it must not stay in the caller's transaction, should he go on after an error.
        cursor.execute("SAVEPOINT callboard")
        try:
            answer = verb(transaction)
            transaction.settle()
        except BaseException:
            if connection.in_transaction:  # some errors, a full disk among them, have ended it already
                cursor.execute("ROLLBACK TO callboard")
                cursor.execute("RELEASE callboard")
            raise
        cursor.execute("RELEASE callboard")
        return answer

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        cursor = connection.cursor()
        cursor.row_factory = None
        main = next((file for _, name, file in cursor.execute("PRAGMA database_list") if name == "main"), "")
        try:
            is_ours = bool(main) and os.path.samefile(main, self._path)
        except OSError:
            is_ours = False
        if not is_ours:
            raise InvalidTransaction(
                f"tx=: expected a connection whose main database is {self._path}; found {main or 'one in memory'}"
            )

    def _watch(self, job_id: bytes, wakeups: set[Wakeup]) -> None:
        """Wake who waits for work once this job is there for all."""
        self._pending[job_id] = (wakeups, self._clock.monotonic() + _LOOKS_FOR_S)
        self._pause_s = _FIRST_PAUSE_S
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="callboard-sqlite-commits")

    async def _look(self) -> None:
        try:
            while self._pending:
                await self._clock.sleep(self._pause_s)
                self._pause_s = min(self._pause_s * 1.5, _LONGEST_PAUSE_S)
                rows = await self._reader.rows(_GET, list(self._pending))
                told: set[Wakeup] = set()
                for row in rows:
                    told |= self._pending.pop(job_of(row).id)[0]
                if told:
                    await self._wakeups.tell_all(told)
                now = self._clock.monotonic()
                self._pending = {job_id: one for job_id, one in self._pending.items() if one[1] > now}
        except StorageError:
            self._pending.clear()  # whoever looks for work meets the same error
        finally:
            self._looking = None


def _commits_at_once(connection: sqlite3.Connection) -> bool:
    """Whether a statement outside of a transaction would be one of its own. `autocommit` came with Python 3.12."""
    autocommit: Any = getattr(connection, "autocommit", -1)
    return connection.isolation_level is None if autocommit == -1 else bool(autocommit)
