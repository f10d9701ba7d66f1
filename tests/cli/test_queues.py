"""`callboard queues` and `callboard prune`."""

from __future__ import annotations

import pytest

from callboard.storage.ids import parse_id
from callboard.storage.ports.store import Store
from callboard.storage.records import ClaimRequest

from .conftest import BOOT_ID, Cli, OnStore

Ids = dict[str, str]


def test_list_counts_jobs_by_state(cli: Cli, jobs: Ids) -> None:
    (queue,) = cli("queues", "list", "--json").json["queues"]
    table = cli("queues", "list").out.splitlines()

    assert (queue["name"], queue["paused"]) == ("mail", False)
    assert {state: n for state, n in queue["counts"].items() if n} == dict.fromkeys(jobs, 1)
    assert queue["oldest_run_at"].endswith("Z")
    assert table[0].split() == ["QUEUE", "AVAILABLE", "SCHEDULED", "EXECUTING", "COMPLETED", "FAILED", "OLDEST"]
    assert table[1].split()[:6] == ["mail", "1", "1", "1", "1", "1"]


def test_a_store_without_queues_says_so(cli: Cli, on_store: OnStore) -> None:
    async def nothing(store: Store) -> None:
        return None

    on_store(nothing)

    said = cli("queues", "list")

    assert (said.code, said.out) == (0, "")
    assert "no queues yet" in said.err


def test_pause_stops_claims_and_resume_lets_them_go_on(cli: Cli, jobs: Ids, on_store: OnStore) -> None:
    async def claimable(store: Store) -> int:
        [reply] = await store.jobs.claim([ClaimRequest("mail", 1)], boot_id=BOOT_ID, lease_ms=60_000)
        return len(reply.jobs)

    paused = cli("queues", "pause", "mail")
    while_paused = on_store(claimable)
    resumed = cli("queues", "resume", "mail", "--json")

    assert (paused.code, paused.err) == (0, "mail: paused\n")
    assert (resumed.code, resumed.json) == (0, {"resumed": ["mail"]})
    assert (while_paused, on_store(claimable)) == (0, 1)


def test_pause_of_a_queue_that_nobody_used_is_done_and_remarked(cli: Cli, jobs: Ids) -> None:
    said = cli("queues", "pause", "mial")

    assert (said.code, said.err) == (0, "mial: paused; no job was enqueued to it so far\n")


@pytest.mark.parametrize("name", ["", "_hidden", "a b", "callboard.x"])
def test_a_name_that_no_queue_may_have_is_refused(cli: Cli, jobs: Ids, name: str) -> None:
    said = cli("queues", "pause", name)

    assert said.code == 2
    assert said.err.startswith("callboard: queue name")
    assert said.err.count("\n") == 1


def test_prune_removes_only_jobs_that_ended_before(cli: Cli, jobs: Ids, on_store: OnStore) -> None:
    async def left(store: Store) -> list[str]:
        found = await store.jobs.get([parse_id(job_id) for job_id in jobs.values()])
        return [what for what, job in zip(jobs, found, strict=True) if job is not None]

    kept = cli("prune", "--json")
    everything = on_store(left)
    pruned = cli("prune", "--older-than", "0s")

    assert kept.json == {"pruned": 0, "older_than_s": 86400.0}
    assert everything == list(jobs)
    assert (pruned.code, pruned.err) == (0, "2 jobs pruned that ended more than 0.0s ago\n")
    assert on_store(left) == ["executing", "available", "scheduled"]


def test_prune_takes_the_retention_that_is_set(cli: Cli, jobs: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_RETENTION", "2h")

    assert cli("prune", "--json").json["older_than_s"] == 7200.0


def test_a_duration_that_is_none_is_refused(cli: Cli, jobs: Ids) -> None:
    said = cli("prune", "--older-than", "yesterday")

    assert said.code == 2
    assert said.err.startswith("callboard: --older-than: expected seconds as a number")
