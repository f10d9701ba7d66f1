"""Roles on Redis: on a connection of their own, by the server's clock, also where no memory is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.control import Control, ControlAnswer
from callboard.storage.errors import Full, StorageReset, Unavailable
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from callboard.storage.role import Term
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.node_hands import NodeHands
from tests.support.servers.redis import RedisServer

from .conftest import handle

pytestmark = pytest.mark.anyio
T = TypeVar("T")
A, B = b"A" * 16, b"B" * 16


async def take(store: RedisStore, *, holder: bytes = A, lease_ms: int = 30_000) -> Term:
    [row] = await store.roles.campaign(["leader"], holder=holder, lease_ms=lease_ms)
    assert row.term is not None
    return row.term


async def test_roles_are_answered_while_work_waits_for_the_server(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    blocking = asyncio.create_task(store._server.command("BLPOP", "{jobs}:release", "0"))
    work = asyncio.create_task(node.enqueue())
    with server.at.client() as client:
        await eventually(lambda: client.info("clients")["blocked_clients"] == 1)

        term = await take(store)
        assert await store.roles.renew([term], lease_ms=30_000) == [True]
        assert await store.roles.resign([term]) == [True]

        assert not work.done()
        client.lpush("{jobs}:release", "now")
    await work
    await blocking


async def test_terms_outlive_a_server_that_starts_again_and_their_numbers_grow(
    server: RedisServer, store: RedisStore
) -> None:
    term = await take(store)
    await store.roles.resign([term])
    server.stop()
    server.start()

    again = await until_answered(lambda: take(store, holder=B))

    assert again == Term("leader", B, term.number + 1)


async def test_a_store_that_was_emptied_grants_and_renews_nothing(server: RedisServer, store: RedisStore) -> None:
    term = await take(store)
    with server.at.client() as client:
        client.flushall()
    fresh = handle(server)
    await fresh.open()
    assert await take(fresh) == term  # the same role, holder and number: only the store differs
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: take(store),
        lambda: store.roles.renew([term], lease_ms=30_000),
        lambda: store.roles.resign([term]),
        lambda: store.roles.list(),
        lambda: store.nodes.forget([B], fence=term),
        lambda: store.controls.send([Control(B, A, "ping")]),
    ]

    for call in calls:
        with pytest.raises(StorageReset):
            await call()

    assert [row.term for row in await fresh.roles.list()] == [term]
    await fresh.close()


async def test_roles_and_controls_go_on_where_no_memory_is_left(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    with server.at.client() as client:
        client.config_set("maxmemory", 1)
    with pytest.raises(Full):
        await node.enqueue()

    term = await take(store)
    assert await store.roles.renew([term], lease_ms=30_000) == [True]
    await store.controls.send([Control(B, A, "drain")])
    await store.controls.answer([ControlAnswer(B, b"ok")])
    assert await store.controls.prune(asked_before=1) == 1
    assert await store.roles.resign([term]) == [True]


async def test_a_prune_of_several_pages_tells_what_it_removed_while_its_term_ran(
    store: RedisStore, node: NodeHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.storage.redis.jobs.PAGE", 2)
    await node.enqueue_many(6)
    for claimed in await node.claim(6):
        await node.finish(claimed)
    term = await take(store)
    call, pages = store._server.call, 0

    async def resigned_after_a_page(*args: object, **kwargs: object) -> object:
        nonlocal pages
        pages += 1
        if pages == 2:
            await store.roles.resign([term])
        return await call(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(store._server, "call", resigned_after_a_page)

    assert await store.jobs.prune(finished_before=1 << 50, limit=10, fence=term) == 2


@pytest.fixture
async def proxied(server: RedisServer) -> AsyncIterator[tuple[RedisStore, FaultProxy]]:
    """A handle whose every connection leads through a proxy."""
    with FaultProxy((server.at.host, server.at.port)) as proxy:
        assert isinstance(proxy.at, tuple)
        store = RedisStore(Address(proxy.at[0], proxy.at[1], namespace="jobs"), clock=SystemClock())
        await store.open()
        yield store, proxy
        proxy.heal()
        await store.close()


async def test_a_server_that_falls_silent_is_told_while_there_is_time_to_renew(
    proxied: tuple[RedisStore, FaultProxy],
) -> None:
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


async def test_each_reply_may_be_lost(proxied: tuple[RedisStore, FaultProxy]) -> None:
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


async def until_answered(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(0)
