"""`callboard cluster up` as its users run it: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from callboard.runtime.cluster.comeback import LOOP
from callboard.storage.sqlite.host import Host
from tests.support.clusters import STORE, cluster_up, is_alive, one_line, refused, write_service
from tests.support.eventually import eventually_sync
from tests.support.urls import fresh_url

from .conftest import Cli


@pytest.fixture
def service(folder: Path) -> Path:
    write_service(folder)
    return folder


def result_of(cli: Cli, job_id: str) -> object:
    def look() -> object:
        job = cli("jobs", "show", job_id, "--json").json
        return job["result"] if job["state"] == "completed" else None

    return eventually_sync(look, within_s=30)


def test_nodes_run_jobs_come_back_when_killed_and_drain_at_sigterm(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2) as cluster:
        before = cluster.pids()
        found = result_of(cli, cli("enqueue", "where").out.strip())
        nodes = cli("doctor", "--json").json["nodes"]
        os.kill(before["node-1"], signal.SIGKILL)
        cluster.wait_told("node ready", 3)
        after = cluster.pids()
        code = cluster.end()

    assert code == 0
    assert isinstance(found, list)
    assert found[0] in before.values()
    assert {node["pid"] for node in nodes} == set(before.values())
    [crash] = cluster.told("node crashed")
    assert (crash["node"], crash["exit"], crash["crashes"]) == ("node-1", "SIGKILL", 1)
    assert after["node-1"] != before["node-1"]
    assert after["node-2"] == before["node-2"]
    assert len(cluster.told("node ended")) == 2
    assert cluster.told()[-1]["event"] == "cluster stopped"
    assert not {node["pid"] for node in cli("doctor", "--json").json["nodes"]} & set(after.values())
    out = [json.loads(line) for line in (service / "out").read_text().splitlines()]
    assert Counter(line["event"] for line in out) == {"{": 3, "from a handler": 1}  # three processes imported it
    assert {line["node"] for line in out} == set(before)
    own = [line for line in cluster.lines if line["event"] == "node starts" and line["logger"] == "callboard.node"]
    assert {line["node"]: line["pid"] for line in own} == after


def test_a_crash_loop_is_told_once_and_does_not_spin(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2) as cluster:
        (service / "broken").touch()
        os.kill(cluster.pids()["node-1"], signal.SIGKILL)
        [loop] = cluster.wait_told(
            "node crashes again and again; it is tried on, later each time, and not told any more"
        )
        starts = len(cluster.told("node starts", "node-1"))
        (service / "broken").unlink()

        def both_work() -> bool:
            return len(cli("doctor", "--json").json["nodes"]) == 2

        eventually_sync(both_work, within_s=30)
        code = cluster.end()

        assert code == 0
        assert (loop["node"], loop["crashes"], loop["exit"]) == ("node-1", LOOP, "exit code 2")
        assert "broken on purpose" in loop["last_words"]
        assert starts == LOOP
        assert len(cluster.told("node crashed")) == LOOP - 1


def test_sighup_replaces_all_and_keeps_all_but_one_ready(service: Path, cli: Cli) -> None:
    with cluster_up(service, 3) as cluster:
        before = cluster.pids()
        os.kill(before["node-2"], signal.SIGTERM)  # as an operator who drains it
        cluster.wait_told("node was drained, and stays down until SIGHUP", node="node-2")
        down = len(cluster.told("node starts"))
        write_service(service, version=2)
        cluster.tell(signal.SIGHUP)
        cluster.wait_told("cluster rolled")
        after = cluster.pids()
        found = result_of(cli, cli("enqueue", "where").out.strip())
        code = cluster.end()

    assert (down, code) == (3, 0)
    assert set(before.values()).isdisjoint(after.values())
    assert isinstance(found, list)
    assert found[1] == 2
    assert [line["node"] for line in cluster.told("node rolled")] == ["node-2", "node-1", "node-3"]  # who is down first
    assert min(cluster.ready_counts_while_rolling()) == 2
    assert not cluster.told("node crashed")


def test_a_roll_that_breaks_nodes_ends_at_the_first(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2) as cluster:
        before = cluster.pids()
        (service / "broken").touch()
        cluster.tell(signal.SIGHUP)
        [given_up] = cluster.wait_told("roll given up")
        after = cluster.pids()
        (service / "broken").unlink()
        code = cluster.end()

        assert code == 0
        assert (given_up["at"], given_up["rolled"]) == ("node-1", "0 of 2")
        assert after["node-2"] == before["node-2"]


def test_a_single_node_is_rolled_with_a_word_about_it(service: Path) -> None:
    with cluster_up(service, 1) as cluster:
        cluster.tell(signal.SIGHUP)
        cluster.wait_told("cluster rolled")
        code = cluster.end()

        assert code == 0
        assert len(cluster.told("with one node none is ready while it is replaced; --nodes 2 would keep one")) == 1
        assert len(cluster.told("node starts")) == 2


def test_a_second_signal_interrupts_jobs_and_hands_them_back(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2, "--grace", "1h") as cluster:
        ids = [cli("enqueue", "wait", f'"started-{number}"').out.strip() for number in range(2)]
        for number in range(2):
            eventually_sync((service / f"started-{number}").exists, within_s=30)
        cluster.tell(signal.SIGTERM)
        cluster.wait_told("node drains", 2)
        still_there = cluster.process.poll() is None
        code = cluster.end(signal.SIGINT)

        jobs = [cli("jobs", "show", job_id, "--json").json for job_id in ids]
        assert still_there
        assert code == 0
        assert [(job["state"], job["attempt"], job["crashes"]) for job in jobs] == [("available", 0, 0)] * 2


def test_a_third_signal_kills_and_the_exit_code_says_so(service: Path, cli: Cli) -> None:
    with cluster_up(service, 1) as cluster:
        cli("enqueue", "block", '"started"')
        eventually_sync((service / "started").exists, within_s=30)
        for told in ("cluster drains", "nodes are interrupted"):
            cluster.tell(signal.SIGTERM)
            cluster.wait_told(told)
        code = cluster.end()

    assert code == 1
    assert len(cluster.told("nodes are killed")) == 1


def test_a_node_that_starts_while_the_last_ready_one_ends_becomes_ready(service: Path) -> None:
    with cluster_up(service, 2) as cluster:
        (service / "hold").touch()
        os.kill(cluster.pids()["node-1"], signal.SIGKILL)
        cluster.wait_told("node starts", 2, node="node-1")
        os.kill(cluster.pids()["node-2"], signal.SIGTERM)
        cluster.wait_told("node was drained, and stays down until SIGHUP")
        (service / "hold").unlink()
        cluster.wait_told("node ready", 2, node="node-1")
        code = cluster.end()

    assert code == 0
    assert len(cluster.told("node crashed")) == 1


def test_nodes_never_outlive_a_killed_supervisor(service: Path, cli: Cli) -> None:
    with cluster_up(service, 2, "--grace", "1h") as cluster:
        job_id = cli("enqueue", "wait", '"started"').out.strip()
        eventually_sync((service / "started").exists, within_s=30)
        pids, ready_files = cluster.all_pids(), cluster.ready_folder()
        cluster.process.kill()
        cluster.process.wait(10)

        eventually_sync(lambda: not [pid for pid in pids if is_alive(pid)], within_s=30)
        assert not ready_files.exists()

    job = cli("jobs", "show", job_id, "--json").json
    assert (job["state"], job["attempt"], job["crashes"]) == ("available", 0, 0)


def test_for_people_each_line_names_its_node(service: Path, cli: Cli) -> None:
    with cluster_up(service, 1, "--log-format", "console", is_ready=False) as cluster:
        err = service / "err"
        eventually_sync(lambda: "node ready" in err.read_text(), within_s=30)
        cluster.tell(signal.SIGTERM)
        code = cluster.process.wait(30)

    lines = err.read_text().splitlines()
    assert code == 0
    assert [line for line in lines if line.startswith("node-1 | ") and "node starts" in line]
    assert [line for line in lines if "node ready" in line and "node=node-1" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_before_there_are_nodes_it_ends_in_order(folder: Path, number: signal.Signals) -> None:
    (folder / "clustered.py").write_text(
        "import os, signal\nfrom callboard import Runtime\nruntime = Runtime()\n"
        f"os.kill(os.getppid(), signal.SIGHUP)\nos.kill(os.getppid(), {int(number)})\nsignal.pause()\n"
    )

    assert refused(folder, "clustered:runtime") == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clustered:runtime", "--nodes", "0"], "--nodes: expected 1 to 1000 processes, found 0"),
        (["clustered:runtime", "--nodes", "-1"], "--nodes: expected 1 to 1000 processes, found -1"),
        (["clustered:runtime", "--nodes", "two"], "Invalid value for '--nodes' / '-n': 'two' is not"),
        (["clustered:runtime", "-q", "mail=0"], "--queue mail=0: expected QUEUE=SLOTS"),
        (["clustered:runtime", "--log-format", "xml"], "--log-format: expected console or json, found 'xml'"),
        (["clustered:runtime", "--wait", "soon"], "--wait: "),
        (["clustered:runtime", "--json"], "--json: is what --check found"),
        (["nowhere:runtime", "--check"], "no module named 'nowhere'"),
        (["clustered:nothing", "--check"], "clustered has no attribute 'nothing'"),
        (["clustered:runtime", "--check", "--store", "memory://"], "memory:// is seen by one process alone"),
        (
            ["clustered:runtime", "--check", "--store", "mysql://host/db"],
            "store URL 'mysql://host/db' is of no known kind",
        ),
        (["clustered:runtime", "--check", "--store", "sqlite:///no/such/x.db"], "/"),
        (["clustered:runtime", "--check", "--grace", "soon"], "a setting cannot be used: --grace"),
    ],
)
def test_what_nodes_could_not_do_is_refused_with_one_line(service: Path, cli: Cli, words: list[str], said: str) -> None:
    result = cli("cluster", "up", *words)

    assert (result.code, result.out.strip("{\n")) == (2, "")  # but for what the program prints when it is imported
    assert one_line(result.err).startswith(f"callboard: {said}")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere:runtime"], 2, "callboard: no module named 'nowhere'"),
        (["clustered:runtime", "--store", "memory://"], 2, "callboard: memory:// is seen by one process alone"),
        (["clustered:runtime", "--store", "redis://127.0.0.1:1/0", "--wait", "0"], 1, "callboard: "),
    ],
)
def test_a_cluster_is_refused_before_any_node_starts(service: Path, words: list[str], code: int, said: str) -> None:
    found, err = refused(service, *words, "--nodes", "2")

    assert found == code
    assert one_line(err).startswith(said)


def test_a_link_that_does_not_answer_is_refused(service: Path, cli: Cli) -> None:
    (service / "linked.py").write_text(
        "from callboard import Runtime\nruntime = Runtime('sqlite:///jobs.db', link='redis://127.0.0.1:1/0')\n"
    )

    said = cli("cluster", "up", "linked:runtime", "--check", "--wait", "0")

    assert (said.code, said.out) == (2, "")
    assert one_line(said.err).startswith("callboard: link ")


def test_a_file_on_a_network_file_system_is_refused(service: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "file_system", lambda self, path: "nfs4")

    said = cli("cluster", "up", "clustered:runtime", "--check", "--store", STORE)

    assert said.code == 2
    assert "lies on a network file system (nfs4)" in one_line(said.err)


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_server_without_a_schema_is_refused(service: Path, cli: Cli, kind: str) -> None:
    with fresh_url(kind, service) as url:
        before = cli("cluster", "up", "clustered:runtime", "--check", "--store", url)
        migrated = cli("migrate", "--store", url)
        after = cli("cluster", "up", "clustered:runtime", "--check", "--store", url, "--json")

    assert before.code == 2
    assert "callboard migrate" in one_line(before.err)
    assert migrated.code == 0
    assert (after.code, after.json["ok"], after.json["grace_s"]) == (0, True, 20.0)
