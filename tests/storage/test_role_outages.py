"""Roles in stores that are reached over a network: what a holder is told while the way there breaks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.errors import Unavailable
from callboard.storage.ports.store import Store
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from callboard.storage.role import Term
from tests.support.fault_proxy import FaultProxy
from tests.support.persistence import until_answered
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server
from tests.support.stores import PLACES, PostgresPlace, RedisPlace

pytestmark = pytest.mark.anyio
T = TypeVar("T")
Proxied = tuple[Store, FaultProxy]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def _proxied(place: object, folder: Path) -> Iterator[Proxied]:
    if isinstance(place, PostgresPlace):
        if not postgres.is_private():
            pytest.skip("needs to know how the server's URL is written")
        [real] = parse_qs(urlsplit(place.url).query)["host"]
        with FaultProxy(Path(real) / ".s.PGSQL.5432", folder / ".s.PGSQL.5432") as proxy:
            yield PostgresStore(place.url.replace(real, str(folder)), clock=SystemClock()), proxy
        return
    assert isinstance(place, RedisPlace)
    server = redis_server.shared()
    with FaultProxy((server.host, server.port)) as proxy:
        assert isinstance(proxy.at, tuple)
        address = Address(proxy.at[0], proxy.at[1], namespace=place.namespace)
        yield RedisStore(address, clock=SystemClock()), proxy


@pytest.fixture(params=["postgres", "redis"])
async def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Proxied]:
    """A handle whose every connection leads through a proxy."""
    kind = PLACES[request.param]
    if (why := kind.missing()) is not None:
        pytest.skip(why)
    async with kind.made(tmp_path, SystemClock()) as place:
        with _proxied(place, tmp_path) as (store, proxy):
            await store.open()
            yield store, proxy
            proxy.heal()
            await store.close()


async def take(store: Store, *, lease_ms: int = 30_000) -> Term:
    [row] = await store.roles.campaign(["leader"], holder=b"A" * 16, lease_ms=lease_ms)
    assert row.term is not None
    return row.term


async def test_a_server_that_falls_silent_is_told_while_there_is_time_to_renew(proxied: Proxied) -> None:
    store, proxy = proxied
    lease_s = 4.0
    term = await take(store, lease_ms=int(lease_s * 1000))
    proxy.stall("c2s", "s2c")

    for _ in range(2):  # over the old connection, and over a new one
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await store.roles.renew([term], lease_ms=int(lease_s * 1000))
        assert time.monotonic() - began < lease_s

    proxy.heal()
    assert await until_answered(lambda: store.roles.renew([term], lease_ms=30_000)) in ([True], [False])


async def test_each_reply_may_be_lost(proxied: Proxied) -> None:
    """The server has done what was asked, and the connection ends before it says so; for the n-th reply of all."""
    store, proxy = proxied
    n = 0
    while True:
        before = proxy.dropped
        proxy.drop_reply(n)
        term = await until_answered(lambda: take(store))
        assert term.number == n + 1
        assert await until_answered(partial(store.roles.renew, [term], lease_ms=30_000)) == [True]
        await until_answered(partial(store.roles.resign, [term]))
        if proxy.dropped == before:
            break
        n += 1
    proxy.heal()

    assert n >= 3
