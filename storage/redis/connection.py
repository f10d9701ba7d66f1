"""How scripts and commands are called on one server.

Calls share one connection (`kernel/transport/redis_connection.py`), made when first needed and again once it broke: the
server runs one script at a time anyhow. A script is called by its digest; a server that does not know it is given the
whole text in the same call. Nothing is repeated here: whoever calls knows what may be.

Each new connection asks which role its server has: a name may lead to a replica after a failover, and jobs are neither
claimed from one nor read there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from ...kernel.transport.redis_connection import OnMessage, RedisConnection, RedisTarget, Word
from ..errors import Unavailable
from ..role import Term, name_bytes
from ..store_clock import StoreTime
from .address import Address
from .faults import translate
from .keys import Keys
from .rows import packed

SOCKET_TIMEOUT_S = 5.0
Info = Mapping[str, str]  # what a server says of itself, by name
_PRELUDE = "lua/prelude.lua"


class Script:
    """The text of one file, with the prelude before it, and the digest by which the server knows it."""

    __slots__ = ("digest", "text")

    def __init__(self, path: str, *, is_alone: bool = False) -> None:
        self.text = _source(path) if is_alone else _source(_PRELUDE) + _source(path)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Server:
    """One store's way to its server: scripts and the few plain commands, with the errors of `storage/errors.py`."""

    def __init__(self, address: Address, *, timeout_s: float = SOCKET_TIMEOUT_S, time: StoreTime | None = None) -> None:
        self.address = address
        self.keys = Keys(address.namespace)
        self.store_id = b""  # of the store that was opened; every script compares it
        self.timeout_s = timeout_s  # for a connection, and for each answer
        self.time = time  # what this process knows of the server's clock; None: it does not go by it
        self.is_open = False
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Task[RedisConnection] | None = None

    def open(self) -> None:
        """Take calls on the running event loop; the first one connects."""
        self.is_open = True

    async def close(self) -> None:
        """Let go of the connection; calls under way fail. Idempotent."""
        self.is_open = False
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def call(self, script: Script, batch: bytes, *, is_new_work: bool = False, fence: Term | None = None) -> Any:
        """What a script answers to a batch. Raises `TermOver` for a fence that does not run."""
        keys = self.keys
        arguments: tuple[Word, ...] = (len(keys.fixed), *keys.fixed, self.store_id, keys.prefix, batch)
        if fence is not None:
            arguments += (packed((name_bytes(fence.role), fence.holder, fence.number)),)
        return await self._run(script, arguments, is_new_work=is_new_work, fence=fence)

    async def stamp(self, script: Script, *arguments: Word) -> Any:
        """What a script that stands alone answers; its one key is `meta`."""
        return await self._run(script, (1, self.keys.meta, *arguments), is_new_work=True)

    async def command(self, *words: Word) -> Any:
        """What one plain command answers."""
        try:
            return await (await self._connected()).call(*words)
        except (RedisError, OSError) as error:
            raise self._translated(error) from error

    async def fields(self, key: str) -> dict[bytes, bytes]:
        """A hash, whole."""
        flat: list[bytes] = await self.command("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def info(self) -> Info:
        """What the server says of itself."""
        lines = bytes(await self.command("INFO")).decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    async def read_time(self) -> None:
        """Learn the server's time, if that is due."""
        try:
            await self._read_time(await self._connected())
        except (RedisError, OSError) as error:
            raise self._translated(error) from error

    async def new_connection(self, *, timeout_s: float, on_message: OnMessage | None = None) -> RedisConnection:
        """A new connection, for whoever keeps it; whatever `RedisConnection.open` raises."""
        at = self.address
        target = RedisTarget(at.host, at.port, at.db, at.username, at.password, at.is_tls)
        return await RedisConnection.open(target, connect_s=self.timeout_s, timeout_s=timeout_s, on_message=on_message)

    async def _run(
        self, script: Script, arguments: tuple[Word, ...], *, is_new_work: bool, fence: Term | None = None
    ) -> Any:
        try:
            connection = await self._connected()
            await self._read_time(connection)
            try:
                return await connection.call("EVALSHA", script.digest, *arguments)
            except NoScriptError:
                return await connection.call("EVAL", script.text, *arguments)
        except (RedisError, OSError) as error:
            raise self._translated(error, is_new_work=is_new_work, fence=fence) from error

    async def _read_time(self, connection: RedisConnection) -> None:
        time = self.time
        if time is not None and time.is_due:
            asked = time.asks()
            seconds, micros = await connection.call("TIME")
            time.told(int(seconds) * 1000 + int(micros) / 1000, asked)

    async def _connected(self) -> RedisConnection:
        if not self.is_open:
            raise Unavailable(f"{self.address} is not open")
        if self._connection is not None and not self._connection.is_broken:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(), name="callboard-redis-connect")
            self._connecting.add_done_callback(self._has_connected)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> RedisConnection:
        return await self.new_connection(timeout_s=self.timeout_s)

    def _has_connected(self, connecting: asyncio.Task[RedisConnection]) -> None:
        if self._connecting is connecting:
            self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._connection = connecting.result()
            if self.time is not None:
                self.time.doubt()

    def _translated(self, error: Exception, *, is_new_work: bool = False, fence: Term | None = None) -> Exception:
        if isinstance(error, ReadOnlyError) and self._connection is not None:
            self._connection.give_up(error)  # the next one may find the primary under the same name
        return translate(error, str(self.address), is_new_work=is_new_work, fence=fence)


def _source(path: str) -> str:
    return files("callboard.storage.redis").joinpath(path).read_text("utf-8")
