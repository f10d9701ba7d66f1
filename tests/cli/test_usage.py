"""The edges of the command line: exit codes, one line for each mistake, what stands on which stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli, OnStore

COMMANDS = {"demo", "run", "enqueue", "check", "doctor", "migrate", "prune", "jobs", "queues"}


def test_help_lists_the_commands(cli: Cli) -> None:
    said = cli("--help")

    assert said.code == 0
    assert {line.split()[0] for line in said.out.partition("Commands:\n")[2].splitlines()} >= COMMANDS


@pytest.mark.parametrize("args", [[], ["jobs"], ["queues"]])
def test_a_command_without_a_verb_gets_help_on_stderr(cli: Cli, args: list[str]) -> None:
    said = cli(*args)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Usage: {' '.join(['callboard', *args])} ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["jbos"], "No such command 'jbos'. Did you mean 'jobs'?; see `callboard --help`"),
        (["jobs", "lits"], "No such command 'lits'. Did you mean 'list'?; see `callboard jobs --help`"),
        (["jobs", "list", "--lmit", "3"], "No such option: --lmit (Possible options: --limit, --wait); see"),
        (["jobs", "list", "--limit", "few"], "Invalid value for '--limit': "),
        (["jobs", "show"], "Missing argument 'ID'; see `callboard jobs show --help`"),
        (["check"], "Missing argument 'MODULE:RUNTIME'; see `callboard check --help`"),
        (["doctor", "--ready=yes"], "Option '--ready' does not take a value"),
    ],
)
def test_mistyped_commands_and_options_get_one_line(cli: Cli, args: list[str], said: str) -> None:
    result = cli(*args)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"callboard: {said}")
    assert result.err.count("\n") == 1


EXPECTED = (
    "expected memory://, sqlite:///relative.db or sqlite:////absolute.db, or one of a server: "
    "postgresql://user@host/database, redis://host:6379/0"
)


@pytest.mark.parametrize("command", [["jobs", "list"], ["queues", "list"], ["doctor"], ["prune"], ["enqueue", "send"]])
@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("mysql://localhost/x", "store URL 'mysql://localhost/x' is of no known kind: expected memory://, sqlite:///"),
        ("jobs.db", "store URL 'jobs.db' is of no known kind (a path alone is no URL): expected memory://"),
        ("sqlite://jobs.db", "store URL 'sqlite://jobs.db': a SQLite file has no host; write sqlite:///jobs.db"),
        ("sqlite:///", "store URL 'sqlite:///' names no file"),
        ("sqlite:///a%00b", "store URL 'sqlite:///a%00b' names no file"),
        ("postgresql://[x", f"store URL 'postgresql://[x' is malformed (Invalid IPv6 URL): {EXPECTED}"),
        ("sqlite://[", "store URL 'sqlite://[' is malformed (Invalid IPv6 URL)"),
        ("memory://", "memory:// is seen by its own process alone; name the nodes' store by --store or"),
    ],
)
def test_a_wrong_store_url_gets_one_line(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], store: str, said: str
) -> None:
    by_option = cli(*command, "--store", store)
    monkeypatch.setenv("CALLBOARD_STORE", store)
    by_variable = cli(*command)

    assert by_option == by_variable
    assert (by_option.code, by_option.out) == (2, "")
    assert by_option.err.startswith(f"callboard: {said}")
    assert by_option.err.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", [["jobs", "list"], ["queues", "pause", "mail"], ["doctor"], ["prune"]])
def test_a_store_that_is_not_there_is_not_made(cli: Cli, folder: Path, command: list[str]) -> None:
    said = cli(*command)

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"callboard: {folder}/callboard.db holds no store yet: "
        "it is made by the first `callboard run` or `callboard enqueue` on it\n"
    )
    assert list(folder.iterdir()) == []


def test_a_file_that_is_no_store_is_left_untouched(cli: Cli, folder: Path) -> None:
    foreign = folder / "notes.db"
    foreign.write_text("no database at all, just notes\n" * 50)
    before = foreign.read_bytes()

    said = cli("jobs", "list", "--store", "sqlite:///notes.db")

    assert said.code in (1, 2)
    assert said.err.startswith("callboard: ")
    assert said.err.count("\n") == 1
    assert foreign.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["notes.db"]


def test_all_wrong_settings_are_told_together(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_LAESE", "3s")
    monkeypatch.setenv("CALLBOARD_GRACE", "soon")

    said = cli("jobs", "list")

    assert said.code == 2
    assert said.err.startswith("callboard: 2 settings cannot be used: ")
    assert "CALLBOARD_LAESE: no such setting, did you mean CALLBOARD_LEASE?" in said.err
    assert "CALLBOARD_GRACE: expected a duration" in said.err
    assert said.err.count("\n") == 1


def test_an_option_goes_before_the_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_STORE", "sqlite:///other.db")

    cli("enqueue", "send", "--store", "sqlite:///mine.db")

    assert cli("jobs", "list", "--store", "sqlite:///mine.db", "--json").json["matching"] == 1
    assert "other.db holds no store yet" in cli("jobs", "list").err


def test_what_a_store_holds_cannot_steer_the_terminal(cli: Cli, jobs: dict[str, str], on_store: OnStore) -> None:
    from callboard.runtime.cli.failures import one_line, printable

    assert printable("a\x1b[2J\tb\x07\n") == "a\\x1b[2J\tb\\x07\n"
    assert one_line("two\nlines \x1b]0;x\x07") == "two lines \\x1b]0;x\\x07"


def test_a_fault_of_ours_is_raised_whole(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: object) -> int:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("callboard.runtime.cli.operate.now_ms", broken)

    with pytest.raises(ZeroDivisionError, match="ours"):
        cli("enqueue", "send", "--delay", "1h")


@pytest.mark.wheel
def test_the_module_runs_as_a_command(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callboard", "enqueue", "send", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["name"] == "send"


@pytest.mark.wheel
def test_a_reader_that_leaves_early_gets_no_traceback(cli: Cli, folder: Path) -> None:
    cli("enqueue", "send")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "callboard", "jobs", "list", "--json"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.wheel
def test_help_imports_neither_a_store_nor_an_actor_nor_rich(folder: Path) -> None:
    code = (
        "import sys; from callboard.__main__ import main; main(['--help']); "
        "print(sorted({'anyio', 'structlog', 'rich', 'sqlite3', 'callboard.runtime.runtime'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
