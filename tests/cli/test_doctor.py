"""`callboard doctor`: what it says of stores, nodes and queues, and when it fails."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Protocol

import pytest

from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import encode
from callboard.storage.ports.store import Store
from callboard.storage.records import Node

from .conftest import BOOT_ID, Cli, OnStore, Said

Ids = dict[str, str]


def node_of(boot_id: bytes = BOOT_ID, *, version: str = "1.0", **report: object) -> Node:
    said = {"queues": {"mail": 5}, "parked": {}, "executing": 1, "refused_writes": 0, "lost_leases": 0} | report
    started_at = SystemClock().wall_ms() - 65_000
    return Node(boot_id, host="stage", pid=7, version=version, started_at=started_at, report=encode(said))


class Register(Protocol):
    def __call__(self, *nodes: Node) -> None: ...


@pytest.fixture
def register(on_store: OnStore) -> Register:
    def call(*nodes: Node) -> None:
        async def write(store: Store) -> None:
            for node in nodes:
                await store.nodes.register(node)

        on_store(write)

    return call


def findings(said: Said) -> dict[tuple[str, str], str]:
    return {(found["level"], found["subject"]): found["text"] for found in said.json["findings"]}


def test_doctor_shows_the_stores_findings_and_its_nodes(cli: Cli, jobs: Ids, register: Register) -> None:
    register(node_of())

    table = cli("doctor")
    said = cli("doctor", "--json")

    found = findings(said)
    assert (table.code, said.code, said.json["ok"]) == (0, 0, True)
    assert said.json["store"] == "sqlite:///callboard.db"
    assert "synchronous=FULL" in found["ok", "durability"]
    assert found["ok", "node stage:7"] == "version 1.0, up 1m 5s, queues mail=5, 1 executing"
    assert [node["alive"] for node in said.json["nodes"]] == [True]
    assert [queue["name"] for queue in said.json["queues"]] == ["mail"]
    assert len(table.out.splitlines()) == 1 + len(said.json["findings"])


def test_a_parked_queue_fails_with_its_reason(cli: Cli, jobs: Ids, register: Register) -> None:
    register(node_of(parked={"mail": "KeyError: 'x'"}))

    said = cli("doctor", "--json")

    assert (said.code, said.json["ok"]) == (1, False)
    assert findings(said)["fail", "queue mail"] == "parked on stage:7, tried again soon: KeyError: 'x'"


def test_a_node_that_is_gone_and_its_jobs_are_told(
    cli: Cli, jobs: Ids, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(node_of())
    later = SystemClock().wall_ms() + 40_000
    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", lambda store: later)

    said = cli("doctor", "--json")

    found = findings(said)
    assert said.code == 0
    assert found["warn", "node stage:7"].startswith("last seen 40s ago: it crashed, or cannot reach the store")
    assert found["warn", "nodes"].startswith("none works on this store")
    assert found["warn", "leases"].startswith("1 executing jobs are held by nodes that are gone")


def test_what_waits_for_nobody_is_told(cli: Cli, jobs: Ids, register: Register) -> None:
    register(node_of(queues={"other": 5}))
    unserved = findings(cli("doctor", "--json"))
    cli("queues", "pause", "mail")
    paused = findings(cli("doctor", "--json"))

    assert unserved["warn", "queue mail"] == "1 job waits and no node works on it"
    assert paused["warn", "queue mail"] == "paused, 1 job waits; `callboard queues resume mail`"


def test_a_queue_that_is_far_behind_is_told(
    cli: Cli, jobs: Ids, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_LEASE", "1h")
    later = SystemClock().wall_ms() + 600_000
    register(node_of())
    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", lambda store: later)

    assert findings(cli("doctor", "--json"))["warn", "queue mail"] == "1 job waits, the oldest for 10m"


def test_refused_writes_and_differing_versions_are_told(cli: Cli, jobs: Ids, register: Register) -> None:
    register(node_of(refused_writes=3, lost_leases=2), node_of(b"\x22" * 16, version="2.0"))

    found = findings(cli("doctor", "--json"))

    assert found["warn", "node stage:7"].startswith("3 late writes refused, 2 leases lost")
    assert found["warn", "versions"] == "nodes run different ones: 1.0, 2.0"


OTHER_HOST = replace(node_of(state="ready"), host="elsewhere")
HERE = replace(node_of(state="ready"), host=platform.node())
SECOND = replace(HERE, boot_id=b"\x22" * 16, pid=8)


@pytest.mark.parametrize(
    ("nodes", "options", "code"),
    [
        ([], [], 1),
        ([OTHER_HOST], [], 1),
        ([OTHER_HOST], ["--anywhere"], 0),
        ([replace(node_of(state="draining", is_draining=True), host=HERE.host)], [], 1),
        ([replace(node_of(state="paused"), host=HERE.host)], [], 1),
        ([replace(node_of(state="storage_reset"), host=HERE.host)], [], 1),
        ([replace(HERE, report=b"")], [], 1),
        ([HERE], [], 0),
        ([HERE], ["--pid", "7"], 0),
        ([HERE], ["--pid", "8"], 1),
        ([HERE], ["--nodes", "2"], 1),
        ([HERE, SECOND], ["--nodes", "2"], 0),
    ],
)
def test_ready_says_whether_a_node_here_can_claim(
    cli: Cli, jobs: Ids, register: Register, nodes: list[Node], options: list[str], code: int
) -> None:
    register(*nodes)

    said = cli("doctor", "--ready", *options)
    as_json = cli("doctor", "--ready", *options, "--json")

    assert (said.code, as_json.code) == (code, code)
    assert as_json.json["ready"] is (code == 0)
    assert said.err.startswith("ready: " if code == 0 else "callboard: not ready: ")
    assert said.err.count("\n") == 1


def test_a_node_that_is_not_seen_for_its_own_lease_is_not_ready(
    cli: Cli, jobs: Ids, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(replace(node_of(state="ready", lease_s=2.0), host=HERE.host))
    now_ms = SystemClock().wall_ms()
    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", lambda store: now_ms + 1000)
    fresh = cli("doctor", "--ready")
    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", lambda store: now_ms + 3000)
    late = cli("doctor", "--ready")

    assert (fresh.code, late.code) == (0, 1)
    assert late.err.endswith(f"; {HERE.host}:7 is lost\n")


def test_which_nodes_are_meant_is_asked_with_ready_alone(cli: Cli, jobs: Ids) -> None:
    said = cli("doctor", "--pid", "7")

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "give them with --ready" in said.err


def test_a_report_in_another_language_is_passed_over(cli: Cli, jobs: Ids, register: Register) -> None:
    register(replace(node_of(), report=b"\xc1"))

    assert findings(cli("doctor", "--json"))["ok", "node stage:7"].startswith("version 1.0")
