"""Roles on Redis: on a connection of their own, by the server's clock, also where no memory is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from callboard.storage.control import Control, ControlAnswer
from callboard.storage.errors import Full, StorageReset
from callboard.storage.redis.driver import RedisStore
from callboard.storage.role import Term
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands
from tests.support.persistence import until_answered
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
