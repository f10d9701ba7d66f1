"""What only the SQLite store promises. `open_store` opens handles on one file and closes them after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from callboard.kernel.clock import Clock, ManualClock
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.host import Host
from tests.support.node_hands import NodeHands

Opener = Callable[..., Awaitable[SqliteStore]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def open_store(path: Path, clock: ManualClock) -> AsyncIterator[Opener]:
    opened: list[SqliteStore] = []

    async def opener(
        *,
        clock: Clock = clock,
        host: Host | None = None,
        use_sockets: bool = True,
        lock_timeout_s: float = 5.0,
        reserve_bytes: int = 0,
    ) -> SqliteStore:
        store = SqliteStore(
            path,
            clock=clock,
            host=host,
            use_sockets=use_sockets,
            lock_timeout_s=lock_timeout_s,
            reserve_bytes=reserve_bytes,
        )
        await store.open()
        opened.append(store)
        return store

    yield opener
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Opener) -> SqliteStore:
    return await open_store()


@pytest.fixture
def node(store: SqliteStore, clock: ManualClock) -> NodeHands:
    return NodeHands(store, clock, boot_id=b"A" * 16, seed=1)
