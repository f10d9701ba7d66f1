"""What only the PostgreSQL store promises, on the real server of this run. `open_store` opens handles on one schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.postgres.driver import PostgresStore
from tests.support.node_hands import NodeHands
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer
from tests.support.stores import PostgresPlace

Opener = Callable[..., Awaitable[PostgresStore]]


@contextmanager
def server_of_its_own() -> Iterator[PostgresServer]:
    """For tests that disturb one."""
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def place(tmp_path: Path, clock: ManualClock) -> AsyncIterator[PostgresPlace]:
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    async with PostgresPlace.made(tmp_path, clock) as place:
        yield place


@pytest.fixture
async def open_store(place: PostgresPlace, clock: ManualClock) -> AsyncIterator[Opener]:
    opened: list[PostgresStore] = []

    async def opener(options: str = "") -> PostgresStore:
        store = PostgresStore(place.url + options, clock=clock)
        await store.open()
        opened.append(store)
        return store

    yield opener
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Opener) -> PostgresStore:
    return await open_store()


@pytest.fixture
def node(store: PostgresStore, clock: ManualClock) -> NodeHands:
    return NodeHands(store, clock, boot_id=b"A" * 16, seed=1)
