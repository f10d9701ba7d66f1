"""A singleton's node is killed while others hold refs to it: real processes, and a link through a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callboard import Actor, ActorStopped, AskTimeout, ChildSpec, Ref, Runtime, Unavailable
from harness.processes import BENCH, Proc
from tests.faults.stage import Stage, staged
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import redis as redis_server
from tests.support.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
LEADING = BENCH / "harness" / "leading_node.py"
LEADER_LEASE_S = 2.0
FAILOVER_S = 2.7
NAME = "scribe"


@asynccontextmanager
async def redis_server_here() -> AsyncIterator[RedisServer]:
    """A server of the test's own."""
    if (path := redis_server.binary()) is None:
        pytest.skip(redis_server.missing() or "no redis-server")
    server = RedisServer(path)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.remove)


def lead(stage: Stage, **env: str) -> Proc:
    """A node that may run the singleton, ready."""
    return stage.pool.spawn(LEADING, CALLBOARD_LEADER_LEASE=f"{LEADER_LEASE_S}s", **env).wait_ready()


def client_of(stage: Stage, link: str | None) -> Runtime:
    """A program that only sends: it knows the singleton's name, and not its code."""
    client = Runtime(stage.runtime.store_url, link=link)
    client.singleton(ChildSpec(Actor, id=NAME))
    return client


async def answer(held: Ref, *, after: int = 0) -> tuple[int, int]:
    """Term and process of the singleton that answers in a later term."""

    async def probe() -> tuple[int, int] | None:
        try:
            answered = await held.ask("who?", timeout=0.5)
        except (AskTimeout, ActorStopped):
            return None
        assert isinstance(answered, list)
        return (answered[0], answered[1]) if answered[0] > after else None

    found = await eventually(probe, within_s=30)
    assert found is not None
    return found


@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_a_held_ref_works_again_each_time_the_singletons_node_is_killed(store: str, tmp_path: Path) -> None:
    """With a store in Redis the link is there by itself; beside another it is given."""
    async with redis_server_here() as server:
        given = None if store == "redis" else server.at.url
        env = {} if given is None else {"NODE_LINK": given}
        async with staged(tmp_path, server.at.url if store == "redis" else None) as stage:
            nodes = {node.pid: node for node in [lead(stage, **env) for _ in range(2)]}
            async with client_of(stage, given) as client:
                held = client.ref(NAME)
                term, pid = await answer(held)
                for _ in range(2):
                    killed = nodes.pop(pid).signal(signal.SIGKILL)
                    term, pid = await answer(held, after=term)
                    [began] = [one for one in stage.records("leads") if one.token == term]
                    assert began.at - killed <= FAILOVER_S
                    assert began.pid == pid
                    another = lead(stage, **env)
                    nodes[another.pid] = another
                terms = [one.token for one in sorted(stage.records("leads"), key=lambda one: one.at)]
                assert terms == sorted(set(terms))


async def test_a_node_that_reaches_the_link_and_not_the_store_steps_down(tmp_path: Path) -> None:
    async with redis_server_here() as store, redis_server_here() as link:
        with FaultProxy((store.at.host, store.at.port)) as proxy:
            assert isinstance(proxy.at, tuple)
            behind = f"redis://{proxy.at[0]}:{proxy.at[1]}/0"
            async with staged(tmp_path, store.at.url) as stage:
                cut = lead(stage, CALLBOARD_STORE=behind, NODE_LINK=link.at.url)
                async with client_of(stage, link.at.url) as client:
                    held = client.ref(NAME)
                    term, pid = await answer(held)
                    assert pid == cut.pid
                    other = lead(stage, NODE_LINK=link.at.url)
                    proxy.refuse()
                    later, pid = await answer(held, after=term)
                    assert (later, pid) == (term + 1, other.pid)
                    assert cut.exit_code is None
                    assert "role could not be renewed in time; its duty stops" in cut.text()
                    proxy.heal()


async def test_a_link_that_does_not_answer_is_refused_with_the_reason(tmp_path: Path) -> None:
    runtime = Runtime(f"sqlite:///{tmp_path / 'jobs.db'}", link="redis://127.0.0.1:1/0")
    runtime.singleton(ChildSpec(Actor, id=NAME))
    with pytest.raises(Unavailable, match=r"link redis://127.0.0.1:1/0"):
        async with runtime:
            pass
