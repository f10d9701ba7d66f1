"""A proxy between a client and its server that cuts, stalls, delays and loses what passes through it.

It runs in a thread with a loop of its own, so that a test, a bench or the loop under test may do whatever they like
meanwhile; every method may be called from any thread and returns when it has taken effect. An endpoint is a host and a
port, or the path of a Unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

T = TypeVar("T")
Endpoint = tuple[str, int] | Path
Way = Literal["c2s", "s2c"]  # from the client to the server, or back

_CHUNK = 65_536
_ABORT = struct.pack("ii", 1, 0)  # linger for no time: the other side is told by a reset, not by an end


class FaultProxy:
    """Listens at `listen` (a free port of the loopback unless given) and passes everything on to `upstream`."""

    def __init__(self, upstream: Endpoint, listen: Endpoint = ("127.0.0.1", 0)) -> None:
        self.upstream = upstream
        self.at = listen  # with the real port once it is started
        self.passed = 0  # connections that reached the server
        self.dropped = 0  # replies that were lost on purpose
        self.sent = 0  # bytes that clients sent
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._is_refusing = False
        self._delay_s = 0.0
        self._open: dict[Way, asyncio.Event] = {}
        self._drop_after: int | None = None
        self._drop_rate = 0.0
        self._rng = random.Random()
        self._bytes_left: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    def cut(self) -> int:
        """Reset every connection now; how many there were. New ones are taken."""

        def cut() -> int:
            pairs = list(self._pairs)
            for pair in pairs:
                pair.reset()
            return len(pairs)

        return self._do(cut)

    def cut_after(self, sent: int) -> None:
        """Reset the connection over which the client's `sent`-th byte from now passes; that one is the last to pass."""
        self._set("_bytes_left", sent)

    def refuse(self) -> None:
        """Reset every connection, and new ones at once, until `heal`: nobody is there."""
        self._set("_is_refusing", True)
        self.cut()

    def stall(self, *ways: Way) -> None:
        """Hold back what goes that way, in old connections and new, until `heal`: half-open."""
        for way in ways:
            self._do(self._open[way].clear)

    def silence(self) -> None:
        """Pass nothing more from the server over the connections that are open now; new ones are as ever: half-open."""

        def silence() -> None:
            for pair in self._pairs:
                pair.is_silent = True

        self._do(silence)

    def delay(self, seconds: float) -> None:
        """Hold every chunk up for that long, each way."""
        self._set("_delay_s", seconds)

    def drop_reply(self, after: int = 0) -> None:
        """Lose one reply, once `after` others have passed: done by the server, the client sees its connection end."""
        self._set("_drop_after", after)

    def drop_replies(self, rate: float, *, seed: int = 0) -> None:
        """From now on lose each reply with this probability, until `heal`."""
        self._set("_rng", random.Random(seed))
        self._set("_drop_rate", rate)

    def heal(self) -> None:
        """Pass on everything from now on, also what was held back."""

        def heal() -> None:
            self._is_refusing = False
            self._delay_s = self._drop_rate = 0.0
            self._drop_after = self._bytes_left = None
            for way in self._open.values():
                way.set()

        self._do(heal)

    def _set(self, name: str, value: object) -> None:
        self._do(lambda: setattr(self, name, value))

    def _do(self, what: Callable[[], T]) -> T:
        async def run() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _start(self) -> None:
        for way in ("c2s", "s2c"):
            self._open[way] = asyncio.Event()
            self._open[way].set()
        if isinstance(self.at, Path):
            self._server = await asyncio.start_unix_server(self._accept, self.at)
        else:
            self._server = await asyncio.start_server(self._accept, *self.at)
            host, port = self._server.sockets[0].getsockname()[:2]
            self.at = (host, port)

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for pair in list(self._pairs):
            pair.reset()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            _reset(writer)
            return
        try:
            if isinstance(self.upstream, Path):
                server = await asyncio.open_unix_connection(self.upstream)
            else:
                server = await asyncio.open_connection(*self.upstream)
        except OSError:
            _reset(writer)
            return
        self.passed += 1
        pair = _Pair(writer, server[1])
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(pair, "c2s", reader, server[1]))
                group.create_task(self._pump(pair, "s2c", server[0], writer))
        except* OSError:
            pass
        finally:
            pair.close()
            self._pairs.discard(pair)

    async def _pump(self, pair: _Pair, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._open[way].wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if pair.is_lost:
                break
            if way == "c2s":
                pair.awaits_reply = True
                self.sent += len(data)
                data, is_last = self._within_limit(data)
                writer.write(data)
                await writer.drain()
                if is_last:
                    break
            elif pair.awaits_reply and self._is_to_drop():
                self.dropped += 1
                break
            elif pair.is_silent:
                continue
            elif not writer.is_closing():
                pair.awaits_reply = False
                writer.write(data)
                await writer.drain()
        if reader.at_eof():
            pair.close()
        else:
            pair.lose()

    def _within_limit(self, data: bytes) -> tuple[bytes, bool]:
        if self._bytes_left is None:
            return data, False
        if len(data) < self._bytes_left:
            self._bytes_left -= len(data)
            return data, False
        data, self._bytes_left = data[: self._bytes_left], None
        return data, True

    def _is_to_drop(self) -> bool:
        """Asked once for each reply, at its first chunk."""
        if self._drop_after is not None:
            self._drop_after -= 1
            if self._drop_after < 0:
                self._drop_after = None
                return True
        return self._drop_rate > 0 and self._rng.random() < self._drop_rate


class _Pair:
    """A client's connection and the server's."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.awaits_reply = False
        self.is_lost = False
        self.is_silent = False
        self._client = client
        self._server = server

    def close(self) -> None:
        """One side has ended: so does the other."""
        for writer in (self._client, self._server):
            writer.close()

    def lose(self) -> None:
        """Reset the client's side; what went to the server arrives there before the end does."""
        self.is_lost = True
        _reset(self._client)
        with contextlib.suppress(OSError, RuntimeError):
            self._server.write_eof()

    def reset(self) -> None:
        """End both sides as a cable that is pulled would, were it to say so."""
        _reset(self._client)
        _reset(self._server)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()
