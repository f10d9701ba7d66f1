"""Jobs written within a transaction of the caller's: the statements of this store, on his connection.

    asyncpg.Connection (pooled or not) · psycopg.AsyncConnection · SQLAlchemy's AsyncConnection and AsyncSession

None of these packages is imported for that: a connection is known by the module of its class. Of SQLAlchemy's the
driver's connection below is used, once SQLAlchemy has begun its transaction. Ids travel as what every driver takes and
gives for a uuid, whatever codec the caller has set.

Before the first write on a connection the store is looked for there, so that a foreign database is refused with a line
and not with an error that spoils the transaction. The NOTIFY is part of the transaction: it is heard at the commit.
"""

from __future__ import annotations

import contextlib
import re
import sys
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakSet

from ...kernel.clock import Clock
from ..errors import InvalidTransaction
from ..job import JobState, NewJob
from ..ports.transaction import TransactionStore
from ..records import Finish
from .array_types import tell_of_arrays
from .identity import FOUND
from .inserts import columns_of
from .lane import Server
from .wakeups import message_of, telling

_EXPECTED = (
    "expected an asyncpg connection, a psycopg AsyncConnection, or SQLAlchemy's AsyncConnection or AsyncSession on this"
    " store's PostgreSQL database"
)
_IS_THERE = "SELECT to_regclass($1::text) IS NOT NULL"
_STANDS = "SELECT claim_token, boot_id, state FROM callboard.done WHERE id = $1::uuid"
_PLACEHOLDER = re.compile(r"\$(\d+)")
_IN_TRANSACTION = "tx=: expected a connection with an open transaction, found none: this would be committed at once"


class PostgresTransactions(TransactionStore):
    """Writes by way of somebody else's connection."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._known: WeakSet[Any] = WeakSet()  # connections on which this store was found

    async def insert(self, tx: object, jobs: Sequence[NewJob]) -> list[bool]:
        connection = await self._connection(tx)
        if not jobs:
            return []
        now = self._clock.wall_ms()
        ids, *values = columns_of({job.id: job for job in reversed(jobs)}, now)
        text, options = self._server.text("jobs/insert"), self._server.options
        queues = {job.queue for job in jobs if job.run_at is None or job.run_at <= now}
        if queues and options.is_notifying:
            text = telling(text)
            values += (options.channel, message_of("", [("work", queue) for queue in sorted(queues)]))
        rows = await connection.fetch(text, _uuids(ids), *values)
        created = {_bytes_of(row[0]) for row in rows}
        answers: list[bool] = []
        for job in jobs:
            answers.append(job.id in created)
            created.discard(job.id)
        return answers

    async def complete(self, tx: object, end: Finish, *, boot_id: bytes) -> bool:
        connection = await self._connection(tx)
        assert end.state is JobState.COMPLETED
        job_id, holder, now = UUID(bytes=end.id), UUID(bytes=boot_id), self._clock.wall_ms()
        values = ([job_id], [end.claim_token], [end.result], end.queue, holder, now)
        [[others, _]] = await connection.fetch(self._server.text("jobs/complete"), *values)
        if others is None:
            return True
        stands = await connection.fetch(self._server.in_schema(_STANDS), job_id)
        return any((row[0], _bytes_of(row[1]), row[2]) == (end.claim_token, boot_id, end.state.code) for row in stands)

    async def _connection(self, tx: object) -> _Connection:
        connection = await _connection_of(tx)
        connection.refuse_without_transaction()
        with contextlib.suppress(TypeError):  # one that cannot be remembered is looked at each time
            if connection.raw in self._known:
                return connection
        [[is_there]] = await connection.fetch(_IS_THERE, self._server.in_schema("callboard.meta"))
        found = await connection.fetch(self._server.in_schema(FOUND)) if is_there else []
        if [row[0] for row in found] != [self._server.store_id]:
            raise InvalidTransaction(
                f"tx=: this connection's database does not hold the store {self._server.shown}; {_EXPECTED}"
            )
        connection.prepare()
        with contextlib.suppress(TypeError):
            self._known.add(connection.raw)
        return connection


class _Connection(Protocol):
    """A driver's connection, as far as statements need it."""

    raw: Any

    @abstractmethod
    def refuse_without_transaction(self) -> None:
        """Raises `InvalidTransaction` if the next statement would be committed by itself."""

    @abstractmethod
    def prepare(self) -> None:
        """Called before the first statement that takes arrays."""

    @abstractmethod
    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """The rows of a statement whose parameters are $1, $2, ..."""


class _Asyncpg(_Connection):
    def __init__(self, connection: Any) -> None:
        self.raw = getattr(connection, "_con", connection)  # below the proxy that a pool gives
        self._connection = connection

    def refuse_without_transaction(self) -> None:
        if not self._connection.is_in_transaction():
            raise InvalidTransaction(f"{_IN_TRANSACTION}; open one by `async with connection.transaction():`")

    def prepare(self) -> None:
        tell_of_arrays(self.raw)

    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._connection.fetch(statement, *values)
        return rows


class _Psycopg(_Connection):
    def __init__(self, connection: Any) -> None:
        self.raw = connection

    def refuse_without_transaction(self) -> None:
        if self.raw.autocommit and self.raw.info.transaction_status == 0:  # libpq: PQTRANS_IDLE
            raise InvalidTransaction(f"{_IN_TRANSACTION}; open one by `async with connection.transaction():`")

    def prepare(self) -> None:
        """Nothing: this driver knows arrays."""

    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        text = _PLACEHOLDER.sub(r"%(p\1)s", statement.replace("%", "%%"))
        named = {
            f"p{place}": list(value) if isinstance(value, tuple) else value for place, value in enumerate(values, 1)
        }
        # Not `raw.cursor()`: the kind that the caller has chosen may want other placeholders, or bind no types.
        make, tuples = sys.modules["psycopg"].AsyncCursor, sys.modules["psycopg.rows"].tuple_row
        async with make(self.raw, row_factory=tuples) as cursor:
            await cursor.execute(text, named)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows


async def _connection_of(tx: Any) -> _Connection:
    kind = type(tx)
    package = kind.__module__.partition(".")[0]
    if package == "sqlalchemy":
        if kind.__name__ == "AsyncSession" or hasattr(tx, "sync_session"):
            tx = await tx.connection()
        if not hasattr(tx, "get_raw_connection") or not hasattr(tx, "exec_driver_sql"):
            raise InvalidTransaction(f"tx=: {_EXPECTED}; found {kind.__module__}.{kind.__qualname__}")
        await tx.exec_driver_sql("SELECT 1")  # SQLAlchemy begins its transaction with the first statement
        return await _connection_of((await tx.get_raw_connection()).driver_connection)
    if hasattr(tx, "sync_session"):  # a class derived from AsyncSession
        return await _connection_of(await tx.connection())
    if hasattr(tx, "is_in_transaction") and hasattr(tx, "fetch"):
        return _Asyncpg(tx)
    if (
        hasattr(tx, "cursor")
        and hasattr(tx, "info")
        and any(base.__name__ == "AsyncConnection" for base in kind.__mro__)
    ):
        return _Psycopg(tx)
    raise InvalidTransaction(f"tx=: {_EXPECTED}; found {kind.__module__}.{kind.__qualname__}")


def _uuids(ids: Iterable[bytes]) -> list[UUID]:
    return [UUID(bytes=one) for one in ids]


def _bytes_of(value: Any) -> bytes | None:
    """A uuid, whatever the connection's codec makes of it."""
    if value is None or isinstance(value, bytes):
        return value
    return value.bytes if isinstance(value, UUID) else UUID(str(value)).bytes
