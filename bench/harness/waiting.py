"""A claim beside a million waiting jobs, through the store's port; and how PostgreSQL goes about it."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import asyncpg

from callboard.kernel.clock import SystemClock
from callboard.storage.ids import IdFactory
from callboard.storage.job import NewJob
from callboard.storage.postgres.identity import read_store_id
from callboard.storage.postgres.lane import Lane, Server
from callboard.storage.postgres.options import options_of
from callboard.storage.records import ClaimRequest
from callboard.storage.urls import store_of

from .figures import say_milliseconds
from .ground import Ground, Postgres

PAYLOAD = b"\x92\x2a" + b"x" * 38
BOOT_ID = b"B" * 16
LEASE_MS = 600_000
BULK = 1000
CLAIMS = 500


async def claim_beside_many(ground: Ground, waiting: int) -> dict[str, Any]:
    """Claims of 100 while so many jobs wait: median and p99. The plan of one is printed where there is a plan."""
    await ground.drop("waiting")
    url = ground.url("waiting")
    store = store_of(url, clock=SystemClock(), disk_reserve_bytes=0)
    await store.open(migrate=True)
    new_id = IdFactory(SystemClock(), os.urandom).new_id
    waits: list[float] = []
    try:
        for _ in range(waiting // BULK):
            await store.jobs.insert([NewJob(new_id(), "noop", "default", PAYLOAD) for _ in range(BULK)])
        if isinstance(ground, Postgres):
            await _print_plan(ground, url)
        for _ in range(CLAIMS):
            began = time.perf_counter()
            replies = await store.jobs.claim([ClaimRequest("default", 100)], boot_id=BOOT_ID, lease_ms=LEASE_MS)
            waits.append(time.perf_counter() - began)
            assert len(replies[0].jobs) == 100
    finally:
        await store.close()
        await ground.drop("waiting")
    return say_milliseconds(f"claim(100), {waiting:,} waiting", waits, claims=CLAIMS)


async def _print_plan(ground: Postgres, url: str) -> None:
    """The plan that is kept for any values, as a long-lived connection comes to use it, with what it came to."""
    server = Server(options_of(url), random.Random())
    lane = Lane(server)
    server.opened(await read_store_id(lane))  # claims are bound to the store that was opened
    await lane.close()
    text = server.text("jobs/claim")
    values = f"'{{default}}', '{{100}}', '{{0}}', '{{0}}', '{{0}}', '{{0}}', true, 0, '{BOOT_ID.hex()}', 1000"
    connection = await asyncpg.connect(ground.server_url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE claim AS {text}")
        transaction = connection.transaction()
        await transaction.start()
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) EXECUTE claim ({values})")
        await transaction.rollback()
    finally:
        await connection.close()
    print("EXPLAIN (ANALYZE, BUFFERS) of claim:")
    for [line] in rows:
        print("   ", line)
