"""`callboard cluster drain`, `ping`, `pause` and `resume` on nodes that run, by way of each store."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clusters import cluster_up, is_alive, one_line, write_service
from tests.support.eventually import eventually_sync
from tests.support.urls import fresh_url

from .conftest import Cli

DRAINED = "node was drained, and stays down until SIGHUP"


@pytest.fixture
def service(folder: Path) -> Path:
    write_service(folder)
    return folder


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest, service: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with fresh_url(request.param, service) as url:
        assert cli("migrate", "--store", url).code == 0
        monkeypatch.setenv("CALLBOARD_STORE", url)
        yield url


def nodes(cli: Cli) -> dict[int, dict[str, Any]]:
    """By pid."""
    return {node["pid"]: node for node in cli("cluster", "status", "--json").json["nodes"]}


def test_nodes_are_pinged_paused_and_drained_by_way_of_every_store(service: Path, cli: Cli, url: str) -> None:
    with cluster_up(service, 2, store=url) as cluster:
        first, second = (cluster.pids()[name] for name in ("node-1", "node-2"))
        known = nodes(cli)
        all_pinged = cli("cluster", "ping", "--json")
        one_pinged = cli("cluster", "ping", known[first]["id"][:12])
        paused = cli("cluster", "pause", f"{known[first]['host']}:{first}", "--json")
        eventually_sync(lambda: nodes(cli)[first]["state"] == "paused", within_s=20)
        resumed = cli("cluster", "resume", known[first]["id"], "--json")
        drained = cli("cluster", "drain", known[second]["id"], "--wait")
        left = nodes(cli)
        cluster.wait_told(DRAINED, node="node-2")
        code = cluster.end()

    assert (all_pinged.code, all_pinged.json["ok"]) == (0, True)
    assert {node["pid"] for node in all_pinged.json["nodes"]} == {first, second}
    assert (one_pinged.code, one_pinged.out.count("\n")) == (0, 2)
    assert paused.json == {"id": known[first]["id"], "paused": ["default"]}
    assert resumed.json == {"id": known[first]["id"], "paused": []}
    assert (drained.code, drained.err.endswith("has drained\n")) == (0, True)
    assert set(left) == {first}
    assert code == 0


def test_a_drain_that_is_waited_for_lasts_as_long_as_the_jobs(service: Path, cli: Cli) -> None:
    with cluster_up(service, 1, "--grace", "1s") as cluster:
        [pid] = cluster.all_pids()
        job_id = cli("enqueue", "wait", '"started"').out.strip()
        eventually_sync((service / "started").exists, within_s=30)
        said = cli("cluster", "drain", nodes(cli)[pid]["id"], "--wait", "--json")
        job = cli("jobs", "show", job_id, "--json").json
        eventually_sync(lambda: not is_alive(pid), within_s=20)
        cluster.wait_told(DRAINED)
        code = cluster.end()

    assert (said.code, said.json["executing"], said.json["ended"]) == (0, 1, True)
    assert (job["state"], job["attempt"], job["crashes"]) == ("available", 0, 0)
    assert code == 0


def test_a_node_that_does_not_answer_is_told_in_a_line(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2) as cluster:
        silent, other = (cluster.pids()[name] for name in ("node-1", "node-2"))
        known = nodes(cli)
        os.kill(silent, signal.SIGSTOP)
        try:
            one = cli("cluster", "ping", known[silent]["id"], "--timeout", "0.5")
            everybody = cli("cluster", "ping", "--timeout", "0.5", "--json")
            drain = cli("cluster", "drain", known[silent]["id"], "--timeout", "0.5")
            answers = cli("cluster", "ping", known[other]["id"], "--timeout", "30")
        finally:
            os.kill(silent, signal.SIGCONT)
        code = cluster.end()

    assert (one.code, everybody.code, drain.code, answers.code) == (1, 1, 1, 0)
    for said in (one, drain):
        assert f"{known[silent]['id']} ({known[silent]['host']}:{silent}) did not answer" in one_line(said.err)
    assert {node["pid"]: node["took_ms"] for node in everybody.json["nodes"]}[silent] is None
    assert (everybody.json["ok"], len(everybody.json["nodes"])) == (False, 2)
    assert code == 0


@pytest.mark.parametrize("verb", ["drain", "ping", "pause", "resume"])
def test_an_unknown_node_is_told_with_those_that_are_known(service: Path, cli: Cli, verb: str) -> None:
    cli("migrate")

    said = cli("cluster", verb, "nobody")

    assert said.code == 2
    assert one_line(said.err) == (
        "callboard: node 'nobody': there is none of that name; known: none: no node works on this store"
    )


def test_a_queue_that_the_node_does_not_serve_is_refused(service: Path, cli: Cli) -> None:
    with cluster_up(service, 1) as cluster:
        said = cli("cluster", "pause", nodes(cli)[cluster.all_pids()[0]]["id"], "-q", "nowhere")
        code = cluster.end()

    assert (said.code, code) == (1, 0)
    assert "no queue 'nowhere' here: this node works on default" in one_line(said.err)


def test_without_nodes_a_ping_finds_nobody(service: Path, cli: Cli) -> None:
    cli("migrate")

    said = cli("cluster", "ping")

    assert (said.code, said.err) == (0, "no node works on this store\n")
