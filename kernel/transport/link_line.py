"""A node's way to the server of its link: keys, scripts, and one connection that is made anew when it broke.

What a call raises is of the client library, `RedisError` or `OSError`; who called decides when to call again. Every
script may be called again: see `lua/`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from importlib.resources import files
from typing import Any

from redis import exceptions as e

from ..clock import Clock
from ..codec import NotStorable
from ..errors import LinkRefused, LinkUnavailable
from .redis_connection import RedisConnection, RedisTarget, Word

BROKEN = (e.RedisError, OSError)
ANSWER_S = 5.0  # that a connection, or an answer, may take
BLOCK_S = 2.0  # that the server may wait before it says that nothing came
OLDEST = (6, 2)
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
_LONGEST_NAME = 500


class Script:
    """The text of one file, and the digest by which the server knows it."""

    __slots__ = ("digest", "text")

    def __init__(self, name: str) -> None:
        self.text = files("callboard.kernel.transport").joinpath(f"lua/{name}.lua").read_text("utf-8")
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Line:
    """One node's."""

    def __init__(
        self, target: RedisTarget, shown: str, *, namespace: str, node: str, clock: Clock, rng: random.Random
    ) -> None:
        self.target = target
        self.shown = shown  # as it may be printed
        self.node = node
        self.clock = clock
        self.rng = rng
        self._prefix = f"{{{namespace}}}:link:"  # one hash tag: all of it lies in one slot of a cluster
        self._connection: RedisConnection | None = None
        self._connecting: asyncio.Lock | None = None
        self._next_number = 1
        self._ahead_ms = 0.0  # of the server's clock before this node's monotonic one

    def key(self, kind: str, name: str = "") -> bytes:
        """The key of a stream, or of what goes with it. Raises `NotStorable` for a name that is none."""
        try:
            raw = name.encode()
        except UnicodeEncodeError:
            raise NotStorable("expected the name of an endpoint without lone surrogates") from None
        if len(raw) > _LONGEST_NAME:
            raise NotStorable(f"expected the name of an endpoint of at most {_LONGEST_NAME} bytes, found {len(raw)}")
        return f"{self._prefix}{kind}:".encode() + raw

    async def open(self) -> None:
        """Look at the server. Raises `LinkUnavailable` or `LinkRefused`."""
        try:
            said = await self._said("server") | await self._said("memory")
            version = said.get("redis_version", "0")
            if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
                raise LinkRefused(
                    f"link {self.shown} is Redis {version}, expected {OLDEST[0]}.{OLDEST[1]} or newer: upgrade it"
                )
            policy = said.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                raise LinkRefused(
                    f"link {self.shown} has maxmemory-policy {policy}, with which Redis drops messages when memory is"
                    " short; expected noeviction: redis-cli CONFIG SET maxmemory-policy noeviction"
                )
            await self.look_at_time(await self._shared())
        except (e.AuthenticationError, e.NoPermissionError) as error:
            raise LinkRefused(f"link {self.shown} refused the user or the password: {error}") from error
        except e.InvalidResponse as error:
            raise LinkRefused(f"link {self.shown}: what answers there is no Redis server") from error
        except e.ReadOnlyError as error:
            raise LinkUnavailable(f"link {self.shown} is a replica, expected the primary: name that server") from error
        except e.MovedError as error:
            raise LinkRefused(
                f"link {self.shown}: another node of the cluster has it, {error.host}:{error.port}"
            ) from error
        except e.ResponseError as error:
            raise LinkRefused(f"link {self.shown} takes no commands from here: {error}") from error
        except BROKEN as error:
            raise LinkUnavailable(f"link {self.shown} does not answer: {error}") from error

    async def _said(self, section: str) -> dict[str, str]:
        """What the server says of itself."""
        answer = bytes(await self.call("INFO", section)).decode("utf-8", "replace")
        return dict(line.split(":", 1) for line in answer.splitlines() if ":" in line)

    async def close(self) -> None:
        """Let go. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def look_at_time(self, connection: RedisConnection) -> None:
        """Compare the server's clock with this node's."""
        seconds, micros = await connection.call("TIME")
        self._ahead_ms = int(seconds) * 1000 + int(micros) / 1000 - self.clock.monotonic() * 1000

    def age_ms(self, entry_id: bytes) -> float:
        """For how long an entry has been there, by the server's clock, which counted when it came."""
        return self._ahead_ms + self.clock.monotonic() * 1000 - int(entry_id.partition(b"-")[0])

    async def connect(self, *, timeout_s: float = ANSWER_S) -> RedisConnection:
        """A connection of the caller's own."""
        return await RedisConnection.open(self.target, connect_s=ANSWER_S, timeout_s=timeout_s)

    async def call(self, *words: Word) -> Any:
        """A command over the shared connection."""
        return await (await self._shared()).call(*words)

    async def run(self, script: Script, keys: list[bytes], *arguments: Word) -> Any:
        """A script over the shared connection."""
        return await run(await self._shared(), script, keys, *arguments)

    def next_numbers(self, count: int) -> int:
        """The first of so many numbers for messages. They grow for all endpoints alike, so that an outbox which is made
        anew goes on where the one before it stopped."""
        first = self._next_number
        self._next_number += count
        return first

    def report(self, what: str, error: Exception) -> None:
        """Report a fault of our own in a task that nobody awaits: to the event loop, which logs it with its traceback.

        Such a task goes on afterwards, with a pause: an endpoint that nobody reads any more would be worse.
        """
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"callboard: {what} (link {self.shown})", "exception": error}
        )

    def pause_s(self, tries: int) -> float:
        """How long to wait after so many tries that failed: 50 ms to 2 s, jittered."""
        return min(FIRST_PAUSE_S * 2.0 ** min(tries, 10), LONGEST_PAUSE_S) * self.rng.uniform(0.5, 1.0)

    async def _shared(self) -> RedisConnection:
        connection = self._connection
        if connection is not None and not connection.is_broken:
            return connection
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._connection is None or self._connection.is_broken:
                self._connection = await self.connect()
            return self._connection


async def run(connection: RedisConnection, script: Script, keys: list[bytes], *arguments: Word) -> Any:
    """A script over that connection."""
    try:
        return await connection.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
    except e.NoScriptError:
        return await connection.call("EVAL", script.text, len(keys), *keys, *arguments)
