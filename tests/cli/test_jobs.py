"""`callboard jobs`: what is listed and shown, and what its verbs do to which jobs."""

from __future__ import annotations

import pytest

from callboard.storage.ids import parse_id
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store

from .conftest import Cli, OnStore

Ids = dict[str, str]
NOBODY = "0197f000-0000-7000-8000-00000000000a"


@pytest.fixture
def states(on_store: OnStore, jobs: Ids) -> Ids:
    class States(dict[str, str]):
        """The state of each seeded job as it is now; "gone" for one that is not there."""

        def __missing__(self, what: str) -> str:
            async def read(store: Store) -> str:
                (job,) = await store.jobs.get([parse_id(jobs[what])])
                return "gone" if job is None else job.state.value

            return on_store(read)

    return States()


def test_list_shows_the_newest_first(cli: Cli, jobs: Ids) -> None:
    said = cli("jobs", "list")

    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0].split() == ["ID", "NAME", "QUEUE", "STATE", "TRY", "WHEN", "REASON"]
    assert [line.split()[0] for line in lines[1:]] == list(reversed(jobs.values()))
    assert "exhausted" in next(line for line in lines if jobs["failed"] in line)
    assert said.err == "5 of 5 matching jobs\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--state", "failed"], ["failed"]),
        (["--state", "failed", "--state", "completed"], ["failed", "completed"]),
        (["--name", "count"], ["available"]),
        (["--queue", "other"], []),
        (["-q", "mail", "--name", "send", "--state", "scheduled"], ["scheduled"]),
    ],
)
def test_list_takes_states_queue_and_name(cli: Cli, jobs: Ids, options: list[str], expected: list[str]) -> None:
    listed = cli("jobs", "list", "--json", *options).json

    assert [job["id"] for job in listed["jobs"]] == [jobs[what] for what in expected]
    assert listed["matching"] == len(expected)


def test_list_goes_on_where_a_page_ended(cli: Cli, jobs: Ids) -> None:
    first = cli("jobs", "list", "--json", "--limit", "3").json
    second = cli("jobs", "list", "--json", "--limit", "3", "--before", first["before"]).json

    assert [job["id"] for job in first["jobs"] + second["jobs"]] == list(reversed(jobs.values()))
    assert second["before"] is None


def test_list_prints_stable_objects(cli: Cli, jobs: Ids) -> None:
    (job,) = cli("jobs", "list", "--json", "--state", "failed").json["jobs"]

    assert set(job) == {
        *("id", "name", "queue", "state", "priority", "attempt", "crashes", "enqueued_at", "run_at", "started_at"),
        *("finished_at", "timeout", "cancel_requested", "reason"),
    }
    assert (job["name"], job["queue"], job["state"], job["attempt"]) == ("send", "mail", "failed", 1)
    assert job["finished_at"].endswith("Z")


def test_show_prints_every_attempt_with_its_whole_traceback(cli: Cli, jobs: Ids) -> None:
    said = cli("jobs", "show", jobs["failed"])

    assert said.code == 0
    assert '[42, "failed"]' in said.out
    assert '{"lang": "pt"}' in said.out
    assert "attempt 1 failed at" in said.out
    assert 'File "service.py", line 3, in send\nValueError: no such user' in said.out


def test_show_as_json_holds_arguments_and_failures(cli: Cli, jobs: Ids) -> None:
    shown = cli("jobs", "show", jobs["failed"].upper(), "--json").json

    assert (shown["args"], shown["kwargs"], shown["result"]) == ([42, "failed"], {"lang": "pt"}, None)
    (failure,) = shown["failures"]
    assert (failure["attempt"], failure["kind"], failure["message"]) == (1, "ValueError", "no such user")
    assert failure["traceback"].startswith("Traceback")


def test_retry_makes_a_failed_job_available(cli: Cli, jobs: Ids, states: Ids) -> None:
    said = cli("jobs", "retry", jobs["failed"])

    assert (said.code, said.out, said.err) == (0, "", "1 job retried\n")
    assert states["failed"] == "available"


def test_retry_of_an_executing_job_fails_and_says_so(cli: Cli, jobs: Ids, states: Ids) -> None:
    said = cli("jobs", "retry", jobs["failed"], jobs["executing"], "--json")

    assert said.code == 1
    assert said.json == {"retried": 1, "refused": 1}
    assert said.err == f"callboard: job {jobs['executing']} is executing; cancel it first\n"
    assert states["failed"] == "available"


def test_cancel_ends_waiting_jobs_and_asks_executing_ones(cli: Cli, jobs: Ids, states: Ids) -> None:
    said = cli("jobs", "cancel", jobs["available"], jobs["executing"], "--json")

    assert said.code == 0
    assert said.json == {"cancelled": 1, "requested": 1, "ending": 0, "too_late": 0}
    assert (states["available"], states["executing"]) == ("cancelled", "executing")
    assert cli("jobs", "show", jobs["executing"], "--json").json["cancel_requested"] is True


def test_cancel_of_a_job_that_had_ended_fails(cli: Cli, jobs: Ids) -> None:
    said = cli("jobs", "cancel", jobs["completed"])

    assert said.code == 1
    assert said.err.splitlines()[-1] == f"callboard: job {jobs['completed']} had ended"


def test_delete_removes_jobs(cli: Cli, jobs: Ids, states: Ids) -> None:
    said = cli("jobs", "delete", jobs["completed"], jobs["scheduled"])

    assert (said.code, said.err) == (0, "2 jobs deleted\n")
    assert (states["completed"], states["scheduled"], states["failed"]) == ("gone", "gone", "failed")


@pytest.mark.parametrize(
    ("verb", "changed", "state"),
    [
        ("retry", {"failed"}, "available"),
        ("cancel", {"available", "scheduled"}, "cancelled"),
        ("delete", {"completed", "failed"}, "gone"),
    ],
)
def test_a_bulk_verb_means_the_states_it_is_made_for(
    cli: Cli, jobs: Ids, states: Ids, verb: str, changed: set[str], state: str
) -> None:
    before = {what: states[what] for what in jobs}

    said = cli("jobs", verb, "--queue", "mail", "--yes")

    assert said.code == 0
    assert {what: states[what] for what in jobs} == before | dict.fromkeys(changed, state)


def test_a_bulk_verb_goes_through_all_pages(
    cli: Cli, jobs: Ids, on_store: OnStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.runtime.cli.operate.PAGE", 2)
    cli("jobs", "cancel", "--queue", "mail", "--yes")

    said = cli("jobs", "delete", "--queue", "mail", "--state", "cancelled", "--state", "failed", "--yes", "--json")

    async def count(store: Store) -> dict[JobState, int]:
        return dict(await store.queues.counts("mail"))

    counts = on_store(count)
    assert said.json == {"deleted": 3, "refused": 0}
    assert {state: n for state, n in counts.items() if n} == {JobState.COMPLETED: 1, JobState.EXECUTING: 1}


def test_a_bulk_verb_that_cannot_ask_shows_the_count_and_does_nothing(cli: Cli, jobs: Ids, states: Ids) -> None:
    said = cli("jobs", "delete", "--name", "send", "--queue", "mail")

    assert said.code == 2
    assert said.err == (
        "callboard: 2 completed, failed, cancelled or discarded jobs named send in queue mail would be deleted; "
        "add --yes, since there is no terminal to ask\n"
    )
    assert states["failed"] == "failed"


@pytest.mark.parametrize(("answer", "code", "state"), [("y\n", 0, "available"), ("n\n", 1, "failed")])
def test_a_bulk_verb_asks_at_a_terminal(
    cli: Cli, jobs: Ids, states: Ids, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, state: str
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))

    said = cli("jobs", "retry", "--state", "failed")

    assert said.code == code
    assert "1 failed jobs will be retried. Go on? [y/N]" in said.err
    assert states["failed"] == state


def test_a_bulk_verb_without_matches_does_not_ask(cli: Cli, jobs: Ids) -> None:
    said = cli("jobs", "retry", "--queue", "other")

    assert (said.code, said.err) == (0, "0 jobs retried\n")


@pytest.mark.parametrize("verb", ["show", "retry", "cancel", "delete"])
def test_an_unknown_id_is_refused_and_nothing_done(cli: Cli, jobs: Ids, states: Ids, verb: str) -> None:
    others = [] if verb == "show" else [jobs["failed"]]

    said = cli("jobs", verb, *others, NOBODY)

    assert said.code == 2
    assert said.err.startswith(f"callboard: no job {NOBODY} in sqlite:///callboard.db")
    assert said.err.count("\n") == 1
    assert states["failed"] == "failed"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["list", "--state", "compleet"], "no job state 'compleet': did you mean completed?"),
        (["list", "--state", "zzz"], "no job state 'zzz': expected one of available, scheduled, retryable, executing,"),
        (["list", "--before", "12"], "'12' is no job id: expected 32 hexadecimal digits"),
        (["show", "12"], "'12' is no job id: expected 32 hexadecimal digits"),
        (["retry"], "expected either ids or --state, --queue, --name to say which jobs to retry"),
        (["cancel", NOBODY, "--queue", "mail"], "expected either ids or --state, --queue, --name"),
        (["retry", "--state", "executing"], "executing jobs cannot be retried; expected --state available, scheduled,"),
        (["cancel", "--state", "completed"], "completed jobs cannot be cancelled; expected --state available,"),
    ],
)
def test_wrong_use_is_told_in_one_line(cli: Cli, jobs: Ids, args: list[str], said: str) -> None:
    result = cli("jobs", *args)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"callboard: {said}")
    assert result.err.count("\n") == 1
