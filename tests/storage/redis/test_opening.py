"""What is refused before anything is written, and what the refusal says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.errors import Corrupt, InvalidStore, MigrationNeeded, Unavailable
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from callboard.storage.redis.opening import refuse_unusable
from callboard.storage.urls import store_of
from tests.storage.redis.conftest import handle
from tests.support.servers.redis import RedisServer, free_port

pytestmark = pytest.mark.anyio


def opened(url: str) -> object:
    return store_of(url, clock=SystemClock(), disk_reserve_bytes=0)


async def refused(store: RedisStore, kind: type[Exception], by: str) -> str:
    """The one line with which opening is refused; nothing stays open, as every test checks."""
    with pytest.raises(kind, match=re.escape(by)) as caught:
        await store.open()
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("url", "by"),
    {
        "redis://": "names no host",
        "redis:///0": "names no host",
        "redis://localhost:port/0": "its port is no number",
        "redis://localhost/jobs": "'jobs' is no number of a database",
        "redis://localhost/0?ns=a": "unknown option 'ns'",
        "redis://localhost/0?namespace=": "namespace '' is no identifier",
        "redis://localhost/0?namespace=a}b": "namespace 'a}b' is no identifier",
        "redis://localhost/0?namespace=a:b": "namespace 'a:b' is no identifier",
        "redis://localhost/0?namespace=4": "namespace '4' is no identifier",
        "redis://user:hidden@localhost/0#x": "nothing may follow a '#'",
    }.items(),
)
def test_a_url_that_names_no_store_is_refused(url: str, by: str) -> None:
    with pytest.raises(InvalidStore, match=re.escape(by)) as caught:
        opened(url)

    assert "hidden" not in str(caught.value)


def test_a_url_names_server_database_and_namespace() -> None:
    store = opened("rediss://ana:p%40ss@[::1]:7000/3?namespace=mails")

    assert isinstance(store, RedisStore)
    assert store.address == Address("::1", 7000, 3, "ana", "p@ss", is_tls=True, namespace="mails")
    assert "p@ss" not in f"{store.address} {store.address!r}"


def test_a_short_url_means_the_usual_port_and_database() -> None:
    store = opened("redis://localhost")

    assert isinstance(store, RedisStore)
    assert store.address == Address("localhost")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = RedisStore(Address("127.0.0.1", free_port()), clock=SystemClock())

    line = await refused(store, Unavailable, "does not answer")

    assert "127.0.0.1" in line


async def test_a_wrong_password_is_named_without_showing_it(server: RedisServer) -> None:
    with server.at.client() as client:
        client.config_set("requirepass", "right")
    for password in (None, "wrong-one"):
        address = Address(server.at.host, server.at.port, password=password)

        line = await refused(RedisStore(address, clock=SystemClock()), InvalidStore, "refused the user or the password")

        assert "wrong-one" not in line

    store = RedisStore(Address(server.at.host, server.at.port, password="right"), clock=SystemClock())
    await store.open()
    await store.close()


async def test_an_eviction_policy_that_drops_jobs_is_refused(server: RedisServer) -> None:
    """F35 at start."""
    with server.at.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

        await refused(handle(server), InvalidStore, "CONFIG SET maxmemory-policy noeviction")

        assert client.dbsize() == 0


async def test_a_policy_that_changes_later_is_told_by_examine(server: RedisServer, store: RedisStore) -> None:
    """F35 by `callboard doctor`; a node tells of it too, see tests/faults."""
    with server.at.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    findings = {finding.subject: finding for finding in await store.examine()}

    assert findings["eviction"].level == "fail"


async def test_a_replica_is_unavailable(server: RedisServer) -> None:
    """F29 at start."""
    with server.at.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))

    await refused(handle(server), Unavailable, "is a replica, expected the primary")


@pytest.mark.parametrize("version", ["6.0.20", "5.0.14", "2.8"])
def test_an_old_server_is_refused(version: str) -> None:
    info: dict[str, Any] = {"redis_version": version, "role": "master", "maxmemory_policy": "noeviction"}

    with pytest.raises(InvalidStore, match=rf"is Redis {re.escape(version)}, expected 6\.2 or newer"):
        refuse_unusable(info, "here")


@pytest.mark.parametrize("version", ["6.2.0", "7.2.4", "10.0.1"])
def test_a_newer_server_is_taken(version: str) -> None:
    refuse_unusable({"redis_version": version, "role": "master", "maxmemory_policy": "noeviction"}, "here")


async def test_an_empty_namespace_is_left_alone_without_migrate(server: RedisServer) -> None:
    store = handle(server)

    with pytest.raises(MigrationNeeded, match="has no schema"):
        await store.open(migrate=False)

    with server.at.client() as client:
        assert client.dbsize() == 0


async def test_a_schema_of_newer_code_is_refused(server: RedisServer, store: RedisStore) -> None:
    with server.at.client() as client:
        client.hset("{jobs}:meta", mapping={"schema_version": 9, "min_code": 9})

    await refused(handle(server), MigrationNeeded, "upgrade callboard here")


async def test_a_namespace_of_another_program_is_refused(server: RedisServer) -> None:
    with server.at.client() as client:
        client.hset("{jobs}:meta", "name", "theirs")
        await refused(handle(server), Corrupt, "some other program uses this namespace")

        client.delete("{jobs}:meta")
        client.set("{jobs}:meta", "theirs")
        await refused(handle(server), Corrupt, "WRONGTYPE")


async def test_two_starters_agree_on_one_store(server: RedisServer) -> None:
    first, second = handle(server), handle(server)
    await first.open()
    await second.open()

    assert await first.nodes.list() == await second.nodes.list() == []
    for store in (first, second):
        await store.close()


async def test_namespaces_share_a_server_and_nothing_else(server: RedisServer, store: RedisStore) -> None:
    other = handle(server, namespace="other")
    await other.open()
    await other.queues.pause(["default"])

    assert await store.queues.list() == []
    await other.close()


@pytest.mark.parametrize("persistence", [("appendonly", "yes", "ok"), ("appendonly", "no", "warn")])
async def test_examine_tells_what_a_restart_would_lose(
    server: RedisServer, store: RedisStore, persistence: tuple[str, str, str]
) -> None:
    """F36"""
    name, value, level = persistence
    with server.at.client() as client:
        client.config_set(name, value)

    findings = {finding.subject: finding for finding in await store.examine()}

    assert findings["durability"].level == level
