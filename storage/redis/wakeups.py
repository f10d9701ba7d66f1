"""Wake-ups by publish and subscribe: one channel for a store, on a connection of its own.

A message names the handle that sent it, which passes over its own. The first after a silence of 5 ms is published by
the insert that it tells of. A subscription that broke is made anew, with a pause that grows from 50 ms to 2 s; since
hints were missed meanwhile, its listener is then told to look everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from functools import partial

import msgpack
from redis.exceptions import RedisError

from ...kernel.clock import Clock
from ...kernel.transport.redis_connection import RedisConnection
from ..errors import StorageError
from ..ports.wakeups import WakeupStore
from ..records import Hint, Wakeup
from .connection import SOCKET_TIMEOUT_S, Server
from .rows import packed

SILENCE_S = 4.0  # twice that without a sign of life, and a connection is given up
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_APART_S = 0.005  # between hints that go with an insert
_OnWakeups = Callable[[Collection[Wakeup]], None]


class RedisWakeups(WakeupStore):
    """Hints between the nodes on one store."""

    joins_inserts = True

    def __init__(self, server: Server, clock: Clock, sender: bytes, *, silence_s: float = SILENCE_S) -> None:
        self._server = server
        self._clock = clock
        self._sender = sender  # differs between handles
        self._silence_s = silence_s
        self.is_subscribed = False  # between two subscriptions hints are missed
        self._may_join_at = 0.0
        self._listening: asyncio.Task[None] | None = None

    async def listen(self, on_wakeups: _OnWakeups) -> None:
        await self.close()
        subscribed = asyncio.Event()
        task = asyncio.get_running_loop().create_task(
            self._listen(on_wakeups, subscribed), name="callboard-redis-wakeups"
        )
        self._listening = task
        # What is announced after this returns is heard, unless the server is not there: then polling does.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                await subscribed.wait()

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        if not wakeups or not self._server.is_open:
            return
        self._may_join_at = self._clock.monotonic() + _APART_S
        with contextlib.suppress(StorageError):  # a hint that is lost is found by polling
            await self._server.command("PUBLISH", self._server.keys.wakeups, self._message(wakeups))

    def take_along(self, wakeups: Collection[Wakeup]) -> Hint | None:
        now = self._clock.monotonic()
        if now < self._may_join_at:
            return None
        self._may_join_at = now + _APART_S
        return Hint(self._message(wakeups))

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    def _message(self, wakeups: Collection[Wakeup]) -> bytes:
        return packed((self._sender, [tuple(wakeup) for wakeup in wakeups]))

    async def _listen(self, on_wakeups: _OnWakeups, subscribed: asyncio.Event) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            # Whoever asks the store meets the same error, and can say so.
            with contextlib.suppress(RedisError, OSError):
                hear = partial(self._hear, on_wakeups)
                connection = await self._server.new_connection(timeout_s=self._silence_s, on_message=hear)
                try:
                    await connection.call("SUBSCRIBE", self._server.keys.wakeups)
                    if subscribed.is_set():
                        on_wakeups(())
                    subscribed.set()
                    pause_s = _FIRST_PAUSE_S
                    self.is_subscribed = True
                    await self._until_closed(connection)
                finally:
                    self.is_subscribed = False
                    await connection.close()
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _until_closed(self, connection: RedisConnection) -> None:
        """Returns when the connection broke, which it also does when the server gives no sign of life."""
        while not connection.is_broken:
            try:
                async with asyncio.timeout(self._silence_s):
                    await connection.until_closed()
            except TimeoutError:
                await connection.call("PING")

    def _hear(self, on_wakeups: _OnWakeups, message: bytes) -> None:
        try:
            sender, wakeups = msgpack.unpackb(message, raw=True)
            heard = [Wakeup(topic.decode(), queue.decode()) for topic, queue in wakeups]
        except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
            on_wakeups(())  # of some other version
            return
        if sender != self._sender:
            on_wakeups(heard)
