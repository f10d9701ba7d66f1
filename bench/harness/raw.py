"""What a server gives without Callboard: jobs inserted, claimed and removed by bare statements, no job run.

No lease, no token, no result, no counters, one queue, no priority: a limit to hold our figures against, not a queue.
Claims and removals go side by side on two connections, as ours do.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import asyncpg
import redis.asyncio as aio

from .figures import Clock, Rate, say_milliseconds
from .ground import Ground, Postgres, Redis
from .lifecycle import APART_S, TRIES, WARM
from .processes import BENCH

BULK = 1000
_PAYLOAD = b"\x92\x2a" + b"x" * 38
_Take = Callable[[], Awaitable[Sequence[Any]]]
_Remove = Callable[[Sequence[Any]], Awaitable[object]]

_TABLE = """
DROP TABLE IF EXISTS bench_raw;
CREATE TABLE bench_raw (id bigserial PRIMARY KEY, taken boolean NOT NULL DEFAULT false, payload bytea NOT NULL);
CREATE INDEX bench_raw_waiting ON bench_raw (id) WHERE NOT taken;
"""
_INSERT = "INSERT INTO bench_raw (payload) SELECT unnest($1::bytea[])"
_TAKE = """
UPDATE bench_raw SET taken = true WHERE id = ANY (ARRAY(
    SELECT id FROM bench_raw WHERE NOT taken ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
)) RETURNING id, payload
"""
_REMOVE = "DELETE FROM bench_raw WHERE id = ANY ($1::bigint[])"

_REDIS_INSERT = """
for at = 1, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    redis.call('RPUSH', KEYS[2], ARGV[at])
end
"""
_REDIS_TAKE = """
local ids = redis.call('LRANGE', KEYS[2], 0, ARGV[1] - 1)
if #ids == 0 then return {} end
redis.call('LTRIM', KEYS[2], #ids, -1)
redis.call('SADD', KEYS[3], unpack(ids))
return { ids, redis.call('HMGET', KEYS[1], unpack(ids)) }
"""
_REDIS_REMOVE = """
redis.call('SREM', KEYS[2], unpack(ARGV))
redis.call('HDEL', KEYS[1], unpack(ARGV))
"""


async def raw_limit(ground: Ground, count: int, batch: int) -> dict[str, Any]:
    """Bulk inserts and the life after it, of so many jobs, `batch` at a time."""
    if isinstance(ground, Postgres):
        return await _postgres(ground, count, batch)
    assert isinstance(ground, Redis)
    return await _redis(ground, count, batch)


def raw_start(ground: Postgres | Redis) -> dict[str, Any]:
    """From a bare write to its arrival in another process, of writes one after the other on an idle server."""
    numbers = (str(WARM + TRIES), str(APART_S))
    command = [sys.executable, str(BENCH / "raw_start.py"), "latency", ground.server_url, *numbers]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return say_milliseconds("raw: written -> taken, in another process", json.loads(done.stdout)["waits_s"][WARM:])


async def _postgres(ground: Postgres, count: int, batch: int) -> dict[str, Any]:
    taking, removing = await asyncpg.connect(ground.server_url), await asyncpg.connect(ground.server_url)
    await taking.execute(_TABLE)
    try:
        return await _measure(
            ground,
            count,
            batch,
            insert=lambda some: removing.execute(_INSERT, some),
            take=lambda: taking.fetch(_TAKE, batch),
            remove=lambda rows: removing.execute(_REMOVE, [row[0] for row in rows]),
        )
    finally:
        await taking.execute("DROP TABLE bench_raw")
        await taking.close()
        await removing.close()


async def _redis(ground: Redis, count: int, batch: int) -> dict[str, Any]:
    client = aio.Redis.from_url(ground.server_url)
    job, line, taken = "{raw}job", "{raw}line", "{raw}taken"
    inserts, takes, removes = (client.register_script(text) for text in (_REDIS_INSERT, _REDIS_TAKE, _REDIS_REMOVE))

    async def take() -> Sequence[bytes]:
        found = await takes(keys=[job, line, taken], args=[batch])
        return found[0] if found else ()

    def words(payloads: Sequence[bytes]) -> Iterable[bytes]:
        for payload in payloads:
            yield os.urandom(16)
            yield payload

    try:
        return await _measure(
            ground,
            count,
            batch,
            insert=lambda some: inserts(keys=[job, line], args=list(words(some))),
            take=take,
            remove=lambda ids: removes(keys=[job, taken], args=list(ids)),
        )
    finally:
        await client.aclose()


async def _measure(
    ground: Ground, count: int, batch: int, *, insert: _Remove, take: _Take, remove: _Remove
) -> dict[str, Any]:
    used_s = ground.server_s()
    with Clock(count) as clock:
        for _ in range(0, count, BULK):
            await insert([_PAYLOAD] * BULK)
    server_us = ground.server_us(used_s, count)
    found = {"insert": Rate("raw: insert, 1,000 a batch", count, clock.seconds, clock.cpu_us, server_us).say()}

    async def claim(taken: asyncio.Queue[Sequence[Any]]) -> None:
        while rows := await take():
            await taken.put(rows)
        await taken.put(())

    async def end(taken: asyncio.Queue[Sequence[Any]]) -> None:
        while rows := await taken.get():
            await remove(rows)

    taken: asyncio.Queue[Sequence[Any]] = asyncio.Queue(2)
    used_s = ground.server_s()
    with Clock(count) as clock:
        await asyncio.gather(claim(taken), end(taken))
    server_us = ground.server_us(used_s, count)
    what = f"raw: claim and remove, {batch} a batch"
    return found | {"claim and remove": Rate(what, count, clock.seconds, clock.cpu_us, server_us).say()}
