"""Control messages over the link: they need no store to pass, and are done once whichever way they come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from callboard import ActorStopped, Runtime, Settings
from callboard.actors.node_door import endpoint_of
from callboard.runtime.asking import NodeRefused
from callboard.storage.control import Control
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisAt

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]


@pytest.fixture(scope="module")
def server() -> RedisAt:
    if (why := servers.missing()) is not None:
        pytest.skip(why)
    return servers.shared()


@pytest.fixture
def link(server: RedisAt) -> str:
    """A namespace of this test's own."""
    return f"{server.url}?namespace=link_{uuid4().hex}"


def runtime_on(path: Path, link: str | None) -> Runtime:
    runtime = Runtime(f"sqlite:///{path}", settings=Settings(lease="5s"), link=link)

    @runtime.job
    async def note() -> None: ...

    return runtime


def kept(path: Path) -> int:
    """Requests in the store's table."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM controls").fetchone()[0])


async def test_a_node_is_asked_over_the_link_without_the_store(tmp_path: Path, link: str) -> None:
    path = tmp_path / "jobs.db"
    working, asking = runtime_on(path, link), runtime_on(path, link)

    async with working, working.work(), asking:
        nodes = await asking.node.asking()
        [row] = await asking.node.store.nodes.list()
        answer = await nodes.ask(row, "ping")
        with pytest.raises(NodeRefused, match="no such verb 'dance'"):
            await nodes.ask(row, "dance")
        await nodes.ask(row, "pause")
        paused = (await nodes.ask(row, "statistics"))["paused"]

    assert (answer["id"], paused) == (row.boot_id.hex(), ["default"])
    assert kept(path) == 0


async def test_a_node_without_a_link_is_asked_by_the_store(tmp_path: Path, link: str) -> None:
    path = tmp_path / "jobs.db"
    working, asking = runtime_on(path, None), runtime_on(path, link)

    async with working, working.work(), asking:
        nodes = await asking.node.asking()
        [row] = await asking.node.store.nodes.list()
        answer = await nodes.ask(row, "ping")

    assert answer["id"] == row.boot_id.hex()
    assert kept(path) == 1


async def test_what_comes_both_ways_is_done_once(tmp_path: Path, link: str) -> None:
    path = tmp_path / "jobs.db"
    working, asking = runtime_on(path, link), runtime_on(path, link)

    async with working, working.work(), asking:
        boot_id = working.node.parts.boot_id
        assert asking.node.link is not None
        far = asking.node.link.inbox(endpoint_of(boot_id))
        request = Control(b"1" * 16, boot_id, "statistics")
        first = await far.ask(request, 10)
        await asking.node.store.controls.send([Control(b"3" * 16, boot_id, "pause")])
        await far.ask(Control(b"3" * 16, boot_id, "pause"), 10)
        again = await far.ask(request, 10)
        other = await far.ask(request._replace(id=b"2" * 16), 10)

    assert isinstance(first, bytes)
    assert isinstance(other, bytes)
    assert first == again  # the answer that was given then, before the node was paused
    assert b"paused" in other
    assert first != other


async def test_nothing_else_of_a_node_is_reached_from_outside(tmp_path: Path, link: str) -> None:
    path = tmp_path / "jobs.db"
    working, asking = runtime_on(path, link), runtime_on(path, link)

    async with working, working.work(), asking:
        assert asking.node.link is not None
        storage = asking.node.link.inbox(endpoint_of(working.node.parts.boot_id), "store")
        with pytest.raises(ActorStopped, match="no such actor"):
            await storage.ask("anything", 10)
