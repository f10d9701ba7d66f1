"""One connection to a Redis server: calls are pipelined by nature, and answered in the order in which they were made.

Any number of calls may be under way. The client library's own connection takes one call at a time and more than twice
the processor time for it (`bench/README.md`); what is kept of the library is its parser and its errors.

A connection that breaks, or whose server does not answer in time, fails all calls that are under way, and is broken for
good: whoever uses it opens another. Whether a call that failed so has taken effect nobody knows. A caller that gives up
leaves its answer to be dropped when it comes.

With `on_message` a connection may subscribe: what is published is handed over as it arrives, between the answers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

import hiredis
from redis import exceptions as e
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import TimeoutError as TimedOut

Word = str | bytes | int
OnMessage = Callable[[bytes], None]

_ERRORS: dict[str, type[e.ResponseError] | type[e.ConnectionError]] = {
    "NOSCRIPT": e.NoScriptError,
    "READONLY": e.ReadOnlyError,
    "OOM": e.OutOfMemoryError,
    "NOAUTH": e.AuthenticationError,
    "WRONGPASS": e.AuthenticationError,
    "NOPERM": e.NoPermissionError,
    "MOVED": e.MovedError,
    "ASK": e.AskError,
    "TRYAGAIN": e.TryAgainError,
}


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Which server, and as whom."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False


class RedisConnection(asyncio.Protocol):
    """Made by `open`; used on the event loop that opened it."""

    def __init__(self, timeout_s: float | None, on_message: OnMessage | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_message = on_message
        self._reader = hiredis.Reader(protocolError=e.InvalidResponse, replyError=_error_of)
        self._under_way: deque[tuple[asyncio.Future[Any], float]] = deque()  # and when it must have been answered
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._is_closed = self._loop.create_future()

    @classmethod
    async def open(
        cls, target: RedisTarget, *, connect_s: float, timeout_s: float | None, on_message: OnMessage | None = None
    ) -> RedisConnection:
        """Connect and log in, within `connect_s` seconds; each call then has `timeout_s` for its answer (None: any).

        `on_message` is called with what is published on any channel to which a call of `SUBSCRIBE` has subscribed.
        Raises the library's errors: `AuthenticationError`, `ReadOnlyError` for a server that only copies another, its
        `ConnectionError` or `TimeoutError`, `InvalidResponse` for what is no Redis server.
        """
        connection: RedisConnection | None = None
        try:
            async with asyncio.timeout(connect_s):
                context = ssl.create_default_context() if target.is_tls else None
                made = await asyncio.get_running_loop().create_connection(
                    lambda: cls(timeout_s, on_message), target.host, target.port, ssl=context
                )
                connection = made[1]
                await connection._greet(target)
        except BaseException as error:
            if connection is not None:
                connection._break(ConnectionFailed("it was not used"))
            if isinstance(error, TimeoutError):
                raise TimedOut(f"no connection within {connect_s:g} s") from error
            if isinstance(error, OSError):
                raise ConnectionFailed(_reason(error)) from error
            raise
        return connection

    @property
    def is_broken(self) -> bool:
        """True: no call will be answered any more."""
        return self._error is not None

    def call(self, *words: Word) -> asyncio.Future[Any]:
        """Send one command now; its answer, with bulk strings as bytes. An answer that is an error is raised.

        Raises the library's `ConnectionError` or `TimeoutError` when the connection breaks before the answer.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(hiredis.pack_command(words), [future])  # type: ignore[arg-type]  # it takes any number
        return future

    async def calls(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Send commands at once, in one piece; their answers, where errors of the server stand as exceptions.

        Raises as `call` does when the connection breaks.
        """
        futures: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in commands]
        self._send(b"".join([hiredis.pack_command(words) for words in commands]), futures)  # type: ignore[arg-type]
        try:
            await asyncio.wait(futures[-1:])  # answers come in order
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        answers = [future.exception() or future.result() for future in futures]
        for answer in answers:
            if isinstance(answer, ConnectionFailed | TimedOut | e.InvalidResponse):
                raise answer
        return answers

    def _send(self, packed: bytes, futures: list[asyncio.Future[Any]]) -> None:
        if self._error is not None or self._transport is None:
            for future in futures:
                future.set_exception(self._error or ConnectionFailed("it is not connected"))
            return
        self._transport.write(packed)
        timeout_s = self._timeout_s
        until = inf if timeout_s is None else self._loop.time() + timeout_s
        self._under_way.extend([(future, until) for future in futures])
        if self._timer is None and timeout_s is not None:
            self._timer = self._loop.call_later(timeout_s, self._look_at_time)

    def give_up(self, why: Exception) -> None:
        """End it at once: it leads to the wrong server, say. Calls under way fail with `why`."""
        self._break(why)

    async def close(self) -> None:
        """End it; calls under way fail. Idempotent."""
        self._break(ConnectionFailed("it was closed"))
        await self.until_closed()

    async def until_closed(self) -> None:
        """Wait until it is broken, for whatever reason, and its socket closed."""
        await asyncio.shield(self._is_closed)

    async def _greet(self, target: RedisTarget) -> None:
        if target.username is not None or target.password is not None:
            named = (target.username,) if target.username is not None else ()
            try:
                await self.call("AUTH", *named, target.password or "")
            except e.ResponseError as error:
                raise e.AuthenticationError(str(error)) from error
        if target.db:
            await self.call("SELECT", target.db)
        # A name may lead to a replica after a failover. INFO needs no right that other commands do not need.
        answer = await self.call("INFO", "replication")
        if isinstance(answer, bytes) and b"role:slave" in answer:
            raise e.ReadOnlyError("READONLY")

    def _look_at_time(self) -> None:
        """One timer for all calls: it is set for the oldest, whose time is over first."""
        self._timer = None
        if not self._under_way:
            return
        left_s = self._under_way[0][1] - self._loop.time()
        if left_s <= 0:
            self._break(TimedOut("no answer in time"))
        else:
            self._timer = self._loop.call_later(left_s, self._look_at_time)

    def _break(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        elif not self._is_closed.done():
            self._is_closed.set_result(None)
        while self._under_way:
            future, _ = self._under_way.popleft()
            if not future.done():
                future.set_exception(type(error)(*error.args))  # each raises one of its own

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if (made := transport.get_extra_info("socket")) is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        reader, under_way = self._reader, self._under_way
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                if self._on_message is not None and isinstance(answer, list) and answer[:1] == [b"message"]:
                    self._on_message(answer[2])
                    continue
                if not under_way:
                    raise e.InvalidResponse("an answer to nothing")
                future, _ = under_way.popleft()
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except e.InvalidResponse as error:
            self._break(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._break(ConnectionFailed("the connection was closed" if exc is None else _reason(exc)))


def _error_of(text: str) -> Exception:
    """An answer that is an error, as the library's exception, which callers know by its kind and first word."""
    word, _, rest = text.partition(" ")
    if word in ("MOVED", "ASK"):
        return _ERRORS[word](rest)
    if word == "ERR":
        return ConnectionFailed(rest) if "max number of clients" in rest else e.ResponseError(rest)
    return _ERRORS.get(word, e.ResponseError)(text)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
