"""Every verb on every store that processes share: the same words, the same answers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import encode
from callboard.storage.records import Node
from callboard.storage.urls import store_of
from tests.support.eventually import eventually_sync
from tests.support.urls import fresh_url

from .conftest import Cli

MODULE = """
from callboard import Runtime, Settings
runtime = Runtime(settings=Settings(lease="2s", grace="2s"))
@runtime.job(queue="mail")
async def send(user: int, lang: str = "pt") -> str:
    if user < 0:
        raise ValueError("no such user")
    return f"{user} {lang}"
"""


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def here(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A command line that means that store, without saying so."""
    assert cli("migrate", "--store", url).code == 0
    monkeypatch.setenv("CALLBOARD_STORE", url)
    return cli


def enqueued(cli: Cli, *words: str) -> str:
    said = cli("enqueue", *words, "-q", "mail")
    assert (said.code, said.err) == (0, "")
    return said.out.strip()


def test_jobs_are_enqueued_listed_shown_and_acted_upon(here: Cli) -> None:
    first, second = enqueued(here, "send", "1", 'lang="de"'), enqueued(here, "send", "2")
    later = enqueued(here, "send", "3", "--delay", "1h", "--priority", "0")

    listed = here("jobs", "list", "--queue", "mail", "--json").json
    shown = here("jobs", "show", first, "--json").json
    scheduled = here("jobs", "list", "--state", "scheduled", "--json").json

    assert ([job["id"] for job in listed["jobs"]], listed["matching"]) == ([later, second, first], 3)
    assert (shown["state"], shown["args"], shown["kwargs"], shown["failures"]) == ("available", [1], {"lang": "de"}, [])
    assert [(job["id"], job["priority"]) for job in scheduled["jobs"]] == [(later, 0)]
    assert here("jobs", "list", "--limit", "1", "--before", later, "--json").json["jobs"][0]["id"] == second

    assert here("jobs", "cancel", first, "--json").json == {
        "cancelled": 1,
        "requested": 0,
        "ending": 0,
        "too_late": 0,
    }
    assert here("jobs", "show", first, "--json").json["reason"] == "cancelled by an operator"
    assert here("jobs", "retry", first, "--json").json == {"retried": 1, "refused": 0}
    assert here("jobs", "cancel", "--state", "scheduled", "--yes", "--json").json["cancelled"] == 1
    assert here("jobs", "delete", "--state", "cancelled", "--yes", "--json").json == {"deleted": 1, "refused": 0}
    assert here("jobs", "list", "--json").json["matching"] == 2
    unknown = here("jobs", "retry", later)
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert f"no job {later} in " in unknown.err


def test_queues_are_paused_listed_and_resumed(here: Cli) -> None:
    assert here("queues", "list").err == "no queues yet: one is there once a job was enqueued to it\n"
    enqueued(here, "send", "1")

    assert here("queues", "pause", "mail", "--json").json == {"paused": ["mail"]}
    [queue] = here("queues", "list", "--json").json["queues"]
    assert (queue["name"], queue["paused"], queue["counts"]["available"]) == ("mail", True, 1)
    assert here("queues", "resume", "mail").err == "mail: resumed\n"
    assert here("queues", "list", "--json").json["queues"][0]["paused"] is False


def test_a_node_runs_jobs_is_examined_and_what_ended_is_pruned(here: Cli, folder: Path) -> None:
    (folder / "mails.py").write_text(MODULE)
    good, bad = enqueued(here, "send", "7"), enqueued(here, "send", "-1")
    assert here("doctor", "--ready").code == 1
    command = [sys.executable, "-m", "callboard", "run", "mails:runtime", "--ready-file", "ready"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as node:
        try:
            eventually_sync(lambda: (folder / "ready").exists())
            eventually_sync(lambda: here("jobs", "show", good, "--json").json["state"] == "completed")
            eventually_sync(lambda: here("jobs", "show", bad, "--json").json["state"] == "retryable")

            ready, doctor = here("doctor", "--ready", "--json"), here("doctor", "--json")
            assert (ready.code, ready.json) == (0, {"ready": True, "nodes": 1})
            assert [(row["alive"], row["report"]["queues"]) for row in doctor.json["nodes"]] == [(True, {"mail": 10})]
            assert doctor.json["ok"] is True
        finally:
            node.terminate()
            log = node.communicate(timeout=30)[1]

    assert node.returncode == 0, log
    assert "node stopped" in log
    assert here("jobs", "show", good, "--json").json["result"] == "7 pt"
    failure, *_ = here("jobs", "show", bad, "--json").json["failures"]
    assert (failure["kind"], failure["message"]) == ("ValueError", "no such user")
    assert here("prune", "--older-than", "0s", "--json").json["pruned"] == 1
    assert here("jobs", "list", "--json").json["matching"] == 1


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_commands_go_by_the_clock_of_a_server(
    here: Cli, url: str, ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F46: on a machine whose own is ten minutes wrong. A file has no clock but its machine's."""
    before = enqueued(here, "send", "1")
    asyncio.run(register(url))
    own = SystemClock.wall_ms
    monkeypatch.setattr(SystemClock, "wall_ms", lambda clock: own(clock) + ahead_s * 1000)
    after, later = enqueued(here, "send", "2"), enqueued(here, "send", "3", "--delay", "5m")

    shown = {job["id"]: job for job in here("jobs", "list", "--json").json["jobs"]}
    doctor = here("doctor", "--json").json
    [clock] = [row for row in doctor["findings"] if row["subject"] == "clock"] or [None]
    moments = {job_id: datetime.fromisoformat(job["run_at"]).timestamp() for job_id, job in shown.items()}

    wrong_s = ahead_s if url.startswith("sqlite") else 0
    assert moments[after] - moments[before] == pytest.approx(wrong_s, abs=60)
    assert moments[later] - moments[before] == pytest.approx(wrong_s + 300, abs=60)
    assert [node["alive"] for node in doctor["nodes"]] == [wrong_s <= 0]
    assert (clock is None) == url.startswith("sqlite")
    assert clock is None or (clock["level"], "jobs go by the server's" in clock["text"]) == ("warn", True)
    [line] = [line for line in here("jobs", "list", "--state", "scheduled").out.splitlines() if later in line]
    assert re.search(r"\bin [1-5]m", line)
    ids = sorted(shown)
    assert url.startswith("sqlite") or ids == [before, after, later]


async def register(url: str) -> None:
    """A node that was seen just now."""
    store = store_of(url, clock=SystemClock(), disk_reserve_bytes=0)
    await store.open()
    await store.nodes.register(Node(bytes(16), "stage", 7, "0", store.wall_ms(), encode({"lease_s": 60.0})))
    await store.close()


def test_check_needs_no_store(cli: Cli, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_STORE", url)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "checked_on_no_store.py").write_text(MODULE)

    assert cli("check", "checked_on_no_store:runtime", "--json").json == {"ok": True, "jobs": 1, "problems": []}


def test_doctor_tells_how_far_a_server_is_and_how_durable(here: Cli, url: str) -> None:
    found = {row["subject"]: (row["level"], row["text"]) for row in here("doctor", "--json").json["findings"]}

    assert found["durability"][0] == "ok"
    if url.startswith("sqlite"):
        assert {"sqlite", "integrity", "room"} <= found.keys()
        assert found["sqlite"][1].endswith(", schema 2")
        return
    assert found["connectivity"][1].startswith("answers in ")
    assert found["clock"][0] == "ok"
    assert found["clock"][1].startswith("the server's is 0.")
    if url.startswith("redis"):
        assert "appendonly yes, appendfsync everysec: " in found["durability"][1]
        assert found["eviction"] == ("ok", "maxmemory-policy noeviction")
        assert ", schema 1, " in found["redis"][1]
    else:
        assert "fsync on, full_page_writes on, synchronous_commit on: " in found["durability"][1]
        assert found["wake-ups"][1].startswith("LISTEN hears a NOTIFY in ")
        assert ", schema 2 in fresh_" in found["postgres"][1]
