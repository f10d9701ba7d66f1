"""`callboard cluster status`: what it reads from a store on which no node runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import encode
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from callboard.storage.urls import store_of
from tests.support.eventually import eventually_sync
from tests.support.servers import redis as redis_server
from tests.support.urls import fresh_url

from .conftest import BOOT_ID, Cli, OnStore
from .test_doctor import Ids

OTHER = b"\x22" * 16


def node(boot_id: bytes, pid: int, **report: object) -> Node:
    said = {"queues": {"mail": 5, "slow": 2}, "executing": 1, "state": "ready", "lease_s": 30.0} | report
    return Node(boot_id, "stage", pid, "1.0", SystemClock().wall_ms() - 65_000, encode(said))


async def fill(store: Store) -> None:
    await store.nodes.register(node(BOOT_ID, 7))
    await store.nodes.register(node(OTHER, 8, state="draining", executing=0))
    await store.roles.campaign(["janitor", "relay"], holder=BOOT_ID, lease_ms=60_000)
    [relay] = [row for row in await store.roles.list() if row.role == "relay"]
    assert relay.term is not None
    await store.roles.resign([relay.term])


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis"])
def test_json_has_exactly_these_keys_on_every_store(cli: Cli, folder: Path, kind: str) -> None:
    with fresh_url(kind, folder) as url:

        async def prepared() -> None:
            store = store_of(url, clock=SystemClock(), disk_reserve_bytes=0)
            await store.open(migrate=True)
            await fill(store)
            await store.close()

        asyncio.run(prepared())
        cli("enqueue", "send", "1", "-q", "mail", "--store", url)
        cli("queues", "pause", "slow", "--store", url)

        said = cli("cluster", "status", "--json", "--store", url)

    assert (said.code, said.err) == (0, "")
    found = said.json
    assert list(found) == ["nodes", "roles", "queues"]
    [first, second] = sorted(found["nodes"], key=lambda one: one["pid"])
    assert first == {
        "id": BOOT_ID.hex(),
        "host": "stage",
        "pid": 7,
        "version": "1.0",
        "state": "ready",
        "slots": 7,
        "executing": 1,
    }
    assert (second["id"], second["state"], second["executing"]) == (OTHER.hex(), "draining", 0)
    [janitor, relay] = found["roles"]
    assert list(janitor) == ["role", "holder", "term", "expires_in"]
    assert (janitor["role"], janitor["holder"], janitor["term"]) == ("janitor", BOOT_ID.hex(), 1)
    assert 0 < janitor["expires_in"] <= 60
    assert relay == {"role": "relay", "holder": None, "term": 1, "expires_in": 0.0}
    queues = {queue["name"]: queue for queue in found["queues"]}
    assert list(queues["mail"]) == ["name", "waiting", "executing", "oldest_s", "paused"]
    assert (queues["mail"]["waiting"], queues["mail"]["executing"], queues["mail"]["paused"]) == (1, 0, False)
    assert queues["mail"]["oldest_s"] >= 0
    assert queues["slow"] == {"name": "slow", "waiting": 0, "executing": 0, "oldest_s": None, "paused": True}


def test_an_empty_store_shows_nobody(cli: Cli, jobs: Ids) -> None:
    said = cli("cluster", "status", "--json")

    assert said.code == 0
    assert (said.json["nodes"], said.json["roles"]) == ([], [])


def test_people_see_tables_and_a_summary(cli: Cli, jobs: Ids, on_store: OnStore) -> None:
    on_store(fill)

    said = cli("cluster", "status")

    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert ["NODE", "HOST:PID", "VERSION", "STATE", "SLOTS", "EXECUTING", "UP", "SEEN"] in rows
    assert [BOOT_ID.hex()[:12], "stage:7", "1.0", "ready", "7", "1", "1m"] in [row[:7] for row in rows]
    assert ["janitor", BOOT_ID.hex()[:12], "1"] in [row[:3] for row in rows]
    assert said.err.startswith("2 nodes, 14 slots, 1 job leased, 1 waiting, the oldest for ")


def test_a_node_that_was_not_seen_for_its_own_lease_is_lost(
    cli: Cli, jobs: Ids, on_store: OnStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def register(store: Store) -> None:
        await store.nodes.register(node(BOOT_ID, 7, lease_s=2.0))
        await store.nodes.register(node(OTHER, 8, lease_s=600.0))

    on_store(register)
    later = SystemClock().wall_ms() + 60_000
    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", lambda store: later)

    said = cli("cluster", "status", "--json")

    assert {one["pid"]: one["state"] for one in said.json["nodes"]} == {7: "lost", 8: "ready"}


def test_a_node_without_a_word_of_its_own_is_starting(cli: Cli, jobs: Ids, on_store: OnStore) -> None:
    async def register(store: Store) -> None:
        await store.nodes.register(Node(BOOT_ID, "stage", 7, "1.0", 0))

    on_store(register)

    [found] = cli("cluster", "status", "--json").json["nodes"]

    assert (found["state"], found["slots"], found["executing"]) == ("starting", 0, 0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--watch", "--json"], 2, "--watch: is for people"),
        (["--every", "0"], 2, "--every: expected 0.05 s to an hour"),
        (["--store", "memory://"], 2, "memory:// is seen by its own process alone"),
        (["--store", "sqlite:///nowhere.db"], 2, ""),
        (["--store", "mysql://host/db"], 2, "store URL"),
        (["--store", "redis://127.0.0.1:1/0", "--wait", "0"], 1, ""),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(cli: Cli, words: list[str], code: int, said: str) -> None:
    found = cli("cluster", "status", *words)

    assert (found.code, found.out) == (code, "")
    assert found.err.startswith(f"callboard: {said}")
    assert found.err.count("\n") == 1


@contextmanager
def watching(folder: Path, store: str = "sqlite:///callboard.db") -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "callboard", "cluster", "status", "--watch", "--every", "0.1", "--store", store]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_goes_on_until_a_signal(folder: Path, jobs: Ids, cli: Cli, number: signal.Signals) -> None:
    out = folder / "out"
    with watching(folder) as process:
        eventually_sync(lambda: "1 waiting" in out.read_text(), within_s=30)
        cli("enqueue", "send", "1", "-q", "mail")
        eventually_sync(lambda: "2 waiting" in out.read_text(), within_s=30)
        os.kill(process.pid, number)
        code = process.wait(30)

    assert code == 0
    assert (folder / "err").read_text() == ""


def test_watch_shows_an_outage_of_a_redis_and_waits_it_over(folder: Path, cli: Cli) -> None:
    binary = redis_server.binary()
    if binary is None:
        pytest.skip(str(redis_server.missing()))
    out = folder / "out"
    server = redis_server.RedisServer(binary)
    server.start()
    try:
        cli("migrate", "--store", server.at.url)
        with watching(folder, server.at.url) as process:
            eventually_sync(lambda: "0 waiting" in out.read_text(), within_s=30)
            server.stop()
            eventually_sync(lambda: "looking again" in out.read_text(), within_s=30)
            server.start()
            cli("enqueue", "send", "1", "-q", "mail", "--store", server.at.url)
            eventually_sync(lambda: "1 waiting" in out.read_text(), within_s=30)
            os.kill(process.pid, signal.SIGTERM)
            code = process.wait(30)
    finally:
        server.remove()

    assert code == 0


def test_what_json_gives_is_one_object(cli: Cli, jobs: Ids) -> None:
    assert isinstance(json.loads(cli("cluster", "status", "--json").out), dict)
