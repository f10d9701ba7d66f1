"""Wake-ups by publish and subscribe: one channel for a store, on a connection of its own.

A message names the handle that sent it, which passes over its own. A subscription that broke is made anew, with a
pause that grows from 50 ms to 2 s; since hints were missed meanwhile, its listener is then told to look everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection

import msgpack
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from ...kernel.clock import Clock
from ..errors import StorageError
from ..ports.wakeups import WakeupStore
from ..records import Wakeup
from .address import Address
from .connection import SOCKET_TIMEOUT_S, Server, closed_is_broken, subscriber
from .rows import packed

SILENCE_S = 4.0  # twice that without a sign of life, and a connection is given up
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_APART_S = 0.005  # between hints that go with an insert
_AGAIN_S = 0.1  # that a task may take to heed its cancellation
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

    def take_along(self, wakeups: Collection[Wakeup]) -> bytes | None:
        now = self._clock.monotonic()
        if now < self._may_join_at:
            return None
        self._may_join_at = now + _APART_S
        return self._message(wakeups)

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        while listening is not None and not listening.done():
            listening.cancel()  # the client takes one that meets an answer for a connection that broke, now and then
            await asyncio.wait([listening], timeout=_AGAIN_S)

    def _message(self, wakeups: Collection[Wakeup]) -> bytes:
        return packed((self._sender, [tuple(wakeup) for wakeup in wakeups]))

    async def _listen(self, on_wakeups: _OnWakeups, subscribed: asyncio.Event) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            # Whoever asks the store meets the same error, and can say so.
            with contextlib.suppress(RedisError, OSError), closed_is_broken():
                async with _subscription(self._server.address, self._server.keys.wakeups) as messages:
                    if subscribed.is_set():
                        on_wakeups(())
                    subscribed.set()
                    pause_s = _FIRST_PAUSE_S
                    self.is_subscribed = True
                    await self._hear_all(messages, on_wakeups)
            self.is_subscribed = False
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _hear_all(self, messages: PubSub, on_wakeups: _OnWakeups) -> None:
        """Until the connection breaks. One that is silent is asked for a sign of life, and given up without any."""
        is_asked = False
        while True:
            message = await messages.get_message(timeout=self._silence_s)
            if message is not None:
                is_asked = False
                self._hear(message, on_wakeups)
            elif is_asked:
                return
            else:
                is_asked = True
                await messages.ping()

    def _hear(self, message: dict[str, object], on_wakeups: _OnWakeups) -> None:
        if message["type"] != "message" or not isinstance(message["data"], bytes):
            return
        try:
            sender, wakeups = msgpack.unpackb(message["data"], raw=True)
            heard = [Wakeup(topic.decode(), queue.decode()) for topic, queue in wakeups]
        except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
            on_wakeups(())  # of some other version
            return
        if sender != self._sender:
            on_wakeups(heard)


@contextlib.asynccontextmanager
async def _subscription(address: Address, channel: str) -> AsyncIterator[PubSub]:
    client = subscriber(address)
    messages = client.pubsub()
    try:
        await messages.subscribe(channel)
        await messages.get_message(timeout=SOCKET_TIMEOUT_S)  # the server's word that it is so
        yield messages
    finally:
        with contextlib.suppress(RedisError, OSError), closed_is_broken():
            await messages.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()
