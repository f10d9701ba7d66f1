"""A connection that is used by one call at a time, made when first needed and made anew after it broke.

A store has a few of them, each for one kind of work, so that a claim does not stand behind a finish. There is no pool:
nobody waits for more than the calls of its own kind. No statement leaves anything behind in a session, so a transaction
pooler may stand between.

When something fails:
- Deadlock, serialization failure, lock or statement time-out: the call is made again, up to five times, a little later
  each time. Every statement takes effect whole or not at all.
- No answer within `TIMEOUT_S`, or the connection broke, or it leads to a server that takes no writes: it is thrown
  away, the caller gets `Unavailable`, and the next call connects again, so a name that leads elsewhere by then is
  looked up anew. How often to try is the caller's business. A half-open connection is replaced within 10 s.
- The server takes no more connections: a lane that has none goes by another one, its `spare`, and tries for one of its
  own again a second later. So a node works, if more slowly, with three connections for the eight that it would have.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from ...kernel.clock import SystemClock
from ..errors import StorageError, Unavailable
from ..statements import load
from ..store_clock import StoreTime
from .array_types import tell_of_arrays
from .identity import bound_to
from .options import DEFAULT_SCHEMA, Options
from .refusals import ends_connection, is_passing, refusal_of

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic to type checkers only

T = TypeVar("T")
Row = Any  # a record; the functions of rows.py give its fields their types

TIMEOUT_S = 8.0
CONNECT_S = 5.0
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.005
NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision"
_FULL_S = 1.0  # that a server is taken for full after it said so


class Server:
    """How to reach the server, and what to say to it; shared by the lanes of a store."""

    def __init__(self, options: Options, rng: random.Random, time: StoreTime | None = None) -> None:
        self.options = options
        self.shown = options.shown
        self.rng = rng
        self.time = time  # what this process knows of the server's clock; None: it does not go by it
        self._store_id = ""
        self._texts: dict[str, str] = {}

    @property
    def store_id(self) -> str:
        """Which store was opened."""
        return self._store_id

    def opened(self, store_id: str) -> None:
        """From now on fenced statements take effect in this store alone."""
        self._texts.clear()
        self._store_id = store_id

    def text(self, name: str) -> str:
        """The statement in `sql/<name>.sql`, for the schema of this store."""
        text = self._texts.get(name)
        if text is None:
            text = load(__package__, f"sql/{name}.sql").text
            text = self._texts[name] = self.in_schema(bound_to(self._store_id, text))
        return text

    def in_schema(self, text: str) -> str:
        """A statement written for the default schema, for this store's. The name was checked: see `options_of`."""
        return text.replace(f"{DEFAULT_SCHEMA}.", f'"{self.options.schema}".')

    async def connect(self, *, dsn: str | None = None) -> Connection:
        """A fresh connection; whatever the client raises."""
        connection: Connection = await asyncpg.connect(
            dsn or self.options.dsn,
            timeout=CONNECT_S,
            command_timeout=TIMEOUT_S,
            statement_cache_size=self.options.cached_statements,
            max_cached_statement_lifetime=0,
            server_settings={"application_name": "callboard"},
        )
        try:
            if getattr(connection.get_settings(), "in_hot_standby", "off") == "on":  # told at connecting, from 14 on
                raise Unavailable(f"{self.shown}: this server is a standby, which takes no writes")
            await connection.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
            tell_of_arrays(connection)
        except BaseException:
            connection.terminate()
            raise
        self.ask_time_again()
        return connection

    def ask_time_again(self) -> None:
        """Soon: what is known of it may be another server's, or not good enough."""
        if self.time is not None:
            self.time.doubt()

    async def read_time(self, connection: Connection) -> None:
        """Learn the server's time, if that is due."""
        time = self.time
        if time is not None and time.is_due:
            asked = time.asks()
            time.told(await connection.fetchval(NOW), asked)


class Lane:
    """One connection, one call at a time."""

    def __init__(
        self, server: Server, *, halves: bool = False, tells_time: bool = False, spare: Lane | None = None
    ) -> None:
        self.server = server
        self._tells_time = tells_time  # it asks for the server's, too, when that is due
        self._spare = spare
        self._full_until = 0.0
        self._halves = halves  # what took too long is not tried again as it is: the caller asks for less
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._is_closed = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect now. Raises `InvalidStore` where connecting later would raise `Unavailable`."""
        async with self._lock:
            self._is_closed = False
            if self._connection is None:
                try:
                    self._connection = await self.server.connect()
                except Exception as error:
                    raise refusal_of(error, self.server.shown, is_opening=True) from error

    async def fetch(
        self, name: str, *values: object, is_new_work: bool = False, timeout_s: float = TIMEOUT_S
    ) -> list[Row]:
        """The rows that a statement gives. Raises `StorageError`."""
        text = self.server.text(name)
        return await self.run(
            lambda connection: connection.fetch(text, *values, timeout=timeout_s), is_new_work=is_new_work
        )

    async def run(
        self, work: Callable[[Connection], Awaitable[T]], *, is_new_work: bool = False, is_opening: bool = False
    ) -> T:
        """What `work` gives; it is called again when it failed in passing. Raises `StorageError`."""
        async with self._lock:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    if self._is_without() and self._spare is not None:
                        return await self._spare.run(work, is_new_work=is_new_work)
                    connection = await self._connected()
                    if self._tells_time:
                        await self.server.read_time(connection)
                    return await work(connection)
                except StorageError:
                    raise
                except asyncpg.TooManyConnectionsError as error:
                    self._full_until = SystemClock().monotonic() + _FULL_S
                    if self._spare is None:
                        raise refusal_of(
                            error, self.server.shown, is_new_work=is_new_work, is_opening=is_opening
                        ) from error
                except asyncio.CancelledError:
                    self._let_go()  # a statement may still be under way on it
                    raise
                except Exception as error:
                    if ends_connection(error):
                        self._let_go()
                    elif is_passing(error, but_slow=self._halves) and attempt < _ATTEMPTS:
                        await SystemClock().sleep(_FIRST_PAUSE_S * 2**attempt * self.server.rng.uniform(0.2, 1.0))
                        continue
                    raise refusal_of(
                        error, self.server.shown, is_new_work=is_new_work, is_opening=is_opening
                    ) from error
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Let calls under way end, then disconnect. Idempotent."""
        async with self._lock:
            self._is_closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                await disconnect(connection)
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _is_without(self) -> bool:
        """Whether it has no connection, and would not get one now."""
        connection = self._connection
        return (connection is None or connection.is_closed()) and SystemClock().monotonic() < self._full_until

    async def _connected(self) -> Connection:
        if self._is_closed:
            raise Unavailable(f"{self.server.shown}: this handle is closed")
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await self.server.connect()
        return connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # In good order where that is still possible: the client tells the server to cancel what it waited for, else
        # each statement that waits for a lock would keep a process of the server's.
        leaving = asyncio.get_running_loop().create_task(disconnect(connection), name="callboard-postgres-leave")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


async def disconnect(connection: Connection) -> None:
    """Close a connection in good order, or else at once."""
    try:
        await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection.terminate()
