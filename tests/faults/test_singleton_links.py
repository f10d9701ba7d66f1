"""A singleton over the real link: its node is killed and stopped, and a ref that a client holds works again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callboard import Actor, ChildSpec, Ref, Runtime
from callboard.storage.errors import InvalidStore, Unavailable
from harness.processes import Proc
from tests.faults.stage import Stage, staged
from tests.faults.test_leaders import lead
from tests.support.servers import postgres
from tests.support.servers import redis as servers
from tests.support.servers.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


class Elsewhere(Actor):
    """Never started: the client knows the singleton by its name."""


@asynccontextmanager
async def client(store: str, link: str | None) -> AsyncIterator[Ref]:
    """A ref to the singleton of `leading_node.py`, held by a process that runs none."""
    runtime = Runtime(store, link=link)
    runtime.singleton(ChildSpec(Elsewhere, id="scribe"))
    async with runtime:
        yield runtime.ref("scribe")


async def asked(ref: Ref) -> tuple[int, int]:
    """The term of the singleton, and the process that it runs in. What its node's end leaves open is asked again."""
    answer = await ref.ask("who", timeout=60.0)
    assert isinstance(answer, list)
    return answer[0], answer[1]


@asynccontextmanager
async def scene(store: str, folder: Path) -> AsyncIterator[tuple[Stage, str | None]]:
    """A store of that kind, and the link of one that brings none."""
    if (why := servers.missing()) is not None:
        pytest.skip(why)
    redis_url = f"{servers.shared().url}?namespace=singleton_{store}_{folder.name.replace('-', '_')}"
    if store == "redis":
        async with staged(folder, redis_url) as stage:
            yield stage, None
    elif store == "sqlite":
        async with staged(folder) as stage:
            yield stage, redis_url
    else:
        if (why := postgres.missing()) is not None:
            pytest.skip(why)
        server = await asyncio.to_thread(PostgresServer)
        try:
            async with staged(folder, server.url) as stage:
                yield stage, redis_url
        finally:
            await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("store", ["sqlite", "postgres", "redis"])
async def test_a_ref_works_again_when_the_singletons_node_was_killed(store: str, tmp_path: Path) -> None:
    async with scene(store, tmp_path) as (stage, link), client(stage.runtime.store_url, link) as ref:
        nodes: dict[int, Proc] = {}

        def another() -> None:
            node = lead(stage, NODE_LINK=link or "")
            nodes[node.pid] = node

        another()
        another()
        term, pid = await asked(ref)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            gone = nodes.pop(pid)
            gone.signal(number)
            await asyncio.to_thread(gone.wait)
            later, pid = await asked(ref)
            assert later > term
            assert pid in nodes
            term = later
            another()

        assert await asyncio.gather(*(asked(ref) for _ in range(50))) == [(term, pid)] * 50


async def test_a_link_that_does_not_answer_is_refused_when_the_runtime_is_opened(tmp_path: Path) -> None:
    runtime = Runtime(f"sqlite:///{tmp_path / 'jobs.db'}", migrate=True, link="redis://127.0.0.1:1/0")

    with pytest.raises((Unavailable, InvalidStore), match=r"link redis://127.0.0.1:1/0 does not answer") as caught:
        async with runtime:
            pass

    assert "\n" not in str(caught.value)
