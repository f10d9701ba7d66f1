"""A private server of PostgreSQL or Redis with a proxy before it, for what a network does to nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server


@asynccontextmanager
async def behind_a_proxy(store: str) -> AsyncIterator[tuple[FaultProxy, str, str]]:
    """A private server: the proxy before it, its URL, and its URL by way of the proxy."""
    if store == "redis":
        if (path := redis_server.binary()) is None:
            pytest.skip(redis_server.missing() or "no redis-server of its own can be started")
        redis = redis_server.RedisServer(path)
        try:
            redis.start()
            with FaultProxy((redis.at.host, redis.at.port)) as proxy:
                assert isinstance(proxy.at, tuple)
                yield proxy, redis.at.url, f"redis://{proxy.at[0]}:{proxy.at[1]}/0"
        finally:
            redis.remove()
        return
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    server = await asyncio.to_thread(postgres.PostgresServer)
    try:
        with FaultProxy(server.socket) as proxy:
            assert isinstance(proxy.at, tuple)
            through = f"postgresql://postgres@{proxy.at[0]}:{proxy.at[1]}/postgres?sslmode=disable"
            yield proxy, server.url, through
    finally:
        await asyncio.to_thread(server.stop)
