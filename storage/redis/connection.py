"""Connections to one server and how scripts are called on them.

A script is called by its digest; a server that does not know it is given the whole text in the same call. Nothing is
repeated here: whoever calls knows what may be.

Each new connection asks which role its server has: a name may lead to a replica after a failover, and jobs are neither
claimed from one nor read there. A call that broke takes the idle connections with it, which lead the same way: else
each of them would cost a time-out of its own before the first new one is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import redis.asyncio as aio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from ..errors import Unavailable
from ..role import Term, name_bytes
from .address import Address
from .faults import translate
from .keys import Keys
from .rows import packed

SOCKET_TIMEOUT_S = 5.0
_HEALTH_CHECK_S = 10
# A node holds these, one for its heartbeat and one that listens. Scripts run one at a time on the server anyhow: more
# connections would only wait there.
_CONNECTIONS = 4
_BROKEN = (ConnectionFailed, TimedOut, OSError, ReadOnlyError)
_Word = str | bytes | int
_PRELUDE = "lua/prelude.lua"


class Script:
    """The text of one file, with the prelude before it, and the digest by which the server knows it."""

    __slots__ = ("digest", "text")

    def __init__(self, path: str, *, is_alone: bool = False) -> None:
        self.text = _source(path) if is_alone else _source(_PRELUDE) + _source(path)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def connect(address: Address, *, connections: int = _CONNECTIONS, timeout_s: float = SOCKET_TIMEOUT_S) -> aio.Redis:
    """A client that connects when first used. Each call waits `timeout_s` for a free connection and for its answer."""
    kind = aio.SSLConnection if address.is_tls else aio.Connection
    pool = _Pool(
        connection_class=kind,
        max_connections=connections,
        timeout=timeout_s,
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.username,
        password=address.password,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        redis_connect_func=_greet,
    )
    return aio.Redis.from_pool(pool)


class _Pool(aio.BlockingConnectionPool):
    """At most so many connections; who finds none free waits."""

    async def drop_idle(self) -> None:
        """Close those that nobody uses now; without a pause, in which somebody could take one of them."""
        for connection in self._available_connections:
            await connection.disconnect(nowait=True)


async def _greet(connection: aio.Connection) -> None:
    """Log in, and refuse a server that only copies another. INFO needs no right that opening does not need."""
    await connection.on_connect()
    await connection.send_command("INFO", "replication", check_health=False)
    answer = await connection.read_response()
    if isinstance(answer, bytes) and b"role:slave" in answer:
        raise ReadOnlyError("READONLY")


class Server:
    """One client of one store: scripts and the few plain commands, with the errors of `storage/errors.py`."""

    def __init__(
        self, address: Address, *, connections: int = _CONNECTIONS, timeout_s: float = SOCKET_TIMEOUT_S
    ) -> None:
        self.address = address
        self.keys = Keys(address.namespace)
        self.store_id = b""  # of the store that was opened; every script compares it
        self.timeout_s = timeout_s
        self._connections = connections
        self._client: aio.Redis | None = None

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def open(self) -> None:
        """Make a client on the running event loop; it connects when first used."""
        self._client = connect(self.address, connections=self._connections, timeout_s=self.timeout_s)

    async def close(self) -> None:
        """Let go of all connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def call(self, script: Script, batch: bytes, *, is_new_work: bool = False, fence: Term | None = None) -> Any:
        """What a script answers to a batch. Raises `TermOver` for a fence that does not run."""
        keys = self.keys
        arguments: tuple[_Word, ...] = (len(keys.fixed), *keys.fixed, self.store_id, keys.prefix, batch)
        if fence is not None:
            arguments += (packed((name_bytes(fence.role), fence.holder, fence.number)),)
        return await self._run(script, arguments, is_new_work=is_new_work, fence=fence)

    async def stamp(self, script: Script, *arguments: _Word) -> Any:
        """What a script that stands alone answers; its one key is `meta`."""
        return await self._run(script, (1, self.keys.meta, *arguments), is_new_work=True)

    async def command(self, *words: _Word) -> Any:
        """What one plain command answers."""
        client = self._connected()
        try:
            return await _execute(client, *words)
        except (RedisError, OSError) as error:
            await _drop_what_broke(client, error)
            raise translate(error, str(self.address)) from error

    async def _run(
        self, script: Script, arguments: tuple[_Word, ...], *, is_new_work: bool, fence: Term | None = None
    ) -> Any:
        client = self._connected()
        try:
            try:
                return await _execute(client, "EVALSHA", script.digest, *arguments)
            except NoScriptError:
                return await _execute(client, "EVAL", script.text, *arguments)
        except (RedisError, OSError) as error:
            await _drop_what_broke(client, error)
            raise translate(error, str(self.address), is_new_work=is_new_work, fence=fence) from error

    def _connected(self) -> aio.Redis:
        if self._client is None:
            raise Unavailable(f"{self.address} is not open")
        return self._client


@contextmanager
def closed_is_broken() -> Iterator[None]:
    """uvloop calls it a RuntimeError to write to a connection that ended a moment ago: here it is what it is."""
    try:
        yield
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise ConnectionFailed(str(error)) from error


async def _execute(client: aio.Redis, *words: _Word) -> Any:
    with closed_is_broken():
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


async def _drop_what_broke(client: aio.Redis, error: Exception) -> None:
    pool = client.connection_pool
    if isinstance(error, _BROKEN) and isinstance(pool, _Pool):
        await pool.drop_idle()


def _source(path: str) -> str:
    return files("callboard.storage.redis").joinpath(path).read_text("utf-8")
