"""What a start costs on the server without Callboard: one write that wakes another process, which takes what it wrote.

    raw_start.py latency URL COUNT APART_S   write COUNT numbers one after the other
    raw_start.py listen URL COUNT            the other process, which says how long each took to arrive

Bare statements on warm connections: an insert with its NOTIFY, and a DELETE ... RETURNING by whoever hears it; on Redis
a list and a PUBLISH, and an LPOP. Both commits are as durable as ours. No lease, no token, no handler, one queue.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import asyncpg
import uvloop

from callboard.kernel.transport.redis_connection import RedisConnection, RedisTarget

_TABLE = "CREATE TABLE bench_start (id bigserial PRIMARY KEY, at bigint NOT NULL)"
_WRITE = """
WITH new AS (INSERT INTO bench_start (at) VALUES ($1) RETURNING id)
SELECT pg_notify('bench_start', '') FROM new
"""
_TAKE = "DELETE FROM bench_start RETURNING at"
_PUSH = "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PUBLISH', KEYS[1], '')"
_KEY = "bench_start"

_Write = Callable[[int], Awaitable[object]]
_Take = Callable[[], Awaitable[Sequence[int]]]


async def latency(url: str, count: int, apart_s: float) -> None:
    await _clear(url)
    write = await _writer(url)
    command = [sys.executable, __file__, "listen", url, str(count)]
    listener = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert listener.stdout is not None
    await listener.stdout.readline()
    for _ in range(count):
        await write(time.monotonic_ns())
        await asyncio.sleep(apart_s)
    waits = await listener.stdout.readline()
    if await listener.wait():
        raise SystemExit("raw_start: the listener ended early")
    await _clear(url)
    print(json.dumps({"waits_s": json.loads(waits)}))


async def listen(url: str, count: int) -> None:
    heard = asyncio.Event()
    take = await _taker(url, heard.set)
    waits: list[float] = []
    print("ready", flush=True)
    while len(waits) < count:
        await heard.wait()
        heard.clear()
        waits += [(time.monotonic_ns() - at) / 1e9 for at in await take()]
    print(json.dumps(waits), flush=True)


async def _clear(url: str) -> None:
    if url.startswith("redis"):
        redis = await _redis(url)
        await redis.call("DEL", _KEY)
        await redis.close()
        return
    postgres = await asyncpg.connect(url)
    await postgres.execute("DROP TABLE IF EXISTS bench_start")
    await postgres.close()


async def _writer(url: str) -> _Write:
    if url.startswith("redis"):
        redis = await _redis(url)
        return lambda at: redis.call("EVAL", _PUSH, 1, _KEY, at)
    postgres = await asyncpg.connect(url)
    await postgres.execute(_TABLE)
    return lambda at: postgres.fetch(_WRITE, at)


async def _taker(url: str, on_hint: Callable[[], None]) -> _Take:
    if url.startswith("redis"):
        redis, ear = await _redis(url), await _redis(url, lambda _: on_hint())
        await ear.call("SUBSCRIBE", _KEY)

        async def pop() -> list[int]:
            assert not ear.is_broken
            popped: list[bytes] = await redis.call("LPOP", _KEY, 100) or []
            return [int(at) for at in popped]

        return pop
    listening, taking = await asyncpg.connect(url), await asyncpg.connect(url)
    await listening.add_listener("bench_start", lambda *_: on_hint())

    async def take() -> list[int]:
        assert not listening.is_closed()
        return [row["at"] for row in await taking.fetch(_TAKE)]

    return take


async def _redis(url: str, on_message: Callable[[bytes], None] | None = None) -> RedisConnection:
    parts = urlsplit(url)
    target = RedisTarget(parts.hostname or "127.0.0.1", parts.port or 6379)
    return await RedisConnection.open(target, connect_s=5.0, timeout_s=5.0, on_message=on_message)


def main() -> None:
    verb, url, count, *apart_s = sys.argv[1:]
    uvloop.run(latency(url, int(count), float(apart_s[0])) if verb == "latency" else listen(url, int(count)))


if __name__ == "__main__":
    main()
