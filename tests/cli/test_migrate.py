"""`callboard migrate` on every kind of store: what it makes, what it leaves, what --check says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from callboard.storage.migrate import Migration, load_migrations
from callboard.storage.postgres.opening import MIGRATIONS as POSTGRES
from callboard.storage.redis.opening import MIGRATIONS as REDIS
from tests.support.urls import KINDS, SERVERS, fresh_url

from .conftest import Cli

KNOWN = {
    "sqlite": load_migrations("callboard.storage.sqlite", "sql/migrations"),
    "postgres": POSTGRES,
    "redis": REDIS,
}
KEPT = [kind for kind in KINDS if kind != "memory"]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


@pytest.mark.parametrize("url", KEPT, indirect=True)
def test_an_empty_store_is_set_up_once(cli: Cli, url: str) -> None:
    first = cli("migrate", "--store", url)
    second = cli("migrate", "--store", url, "--json")

    assert (first.code, first.out, first.err) == (0, "", f"{url} had no schema, and is up to date now\n")
    assert (second.code, second.err) == (0, "")
    assert second.json == {"store": url, "needed": False, "migrated": False, "found": None}
    assert cli("enqueue", "send", "--store", url).code == 0


@pytest.mark.parametrize("url", KEPT, indirect=True)
def test_check_changes_nothing_and_says_what_is_needed(cli: Cli, url: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())

    needed, as_json = cli("migrate", "--check", "--store", url), cli("migrate", "--check", "--json", "--store", url)

    assert (needed.code, needed.out, needed.err.count("\n")) == (1, "", 1)
    assert needed.err.startswith("callboard: ")
    assert as_json.code == 1
    assert as_json.json == {"store": url, "needed": True, "migrated": False, "found": 0}
    assert sorted(tmp_path.iterdir()) == before
    cli("migrate", "--store", url)
    after = cli("migrate", "--check", "--store", url)
    assert (after.code, after.out, after.err) == (0, "", f"{url} is up to date\n")


def test_memory_needs_none(cli: Cli) -> None:
    said = cli("migrate", "--check", "--store", "memory://", "--json")

    assert (said.code, said.json["needed"]) == (0, False)


@pytest.mark.parametrize("url", KEPT, indirect=True)
def test_an_older_schema_is_brought_up_to_date(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("enqueue", "send", "--store", url) if url.startswith("sqlite") else cli("migrate", "--store", url)
    newest = newest_of(url)
    add_a_migration(monkeypatch, min_code=1)

    listed = cli("jobs", "list", "--store", url)
    checked = cli("migrate", "--check", "--json", "--store", url)
    done = cli("migrate", "--json", "--store", url)

    assert (listed.code, listed.out) == (2, "")
    assert f" has schema {newest}, this code expects {newest + 1}: `callboard migrate --store " in listed.err
    assert (checked.code, checked.json["needed"], checked.json["found"]) == (1, True, newest)
    assert done.json == {"store": url, "needed": True, "migrated": True, "found": newest}
    assert cli("migrate", "--check", "--store", url).code == 0
    assert cli("jobs", "list", "--store", url).code == 0


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_a_store_of_the_first_schema_gets_what_it_lacks(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = newest_of(url)
    with monkeypatch.context() as former:
        know(former, {store: migrations[:1] for store, migrations in KNOWN.items()})
        assert cli("migrate", "--store", url).code == 0
        assert cli("enqueue", "send", "--store", url).code == 0

    checked = cli("migrate", "--check", "--store", url)
    done = cli("migrate", "--store", url)

    assert (checked.code, checked.out) == (1, "")
    assert f" has schema 1, this code expects {newest}: `callboard migrate --store " in checked.err
    assert (done.code, done.err) == (0, f"{url} had schema 1, and is up to date now\n")
    assert f", schema {newest}" in cli("doctor", "--store", url).out
    assert "send" in cli("jobs", "list", "--store", url).out


@pytest.mark.parametrize("url", KEPT, indirect=True)
def test_a_schema_of_newer_code_is_left_alone(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = newest_of(url)
    with monkeypatch.context() as newer:
        add_a_migration(newer, min_code=newest + 1)
        cli("migrate", "--store", url)

    for command in (["migrate"], ["migrate", "--check"], ["doctor"]):
        said = cli(*command, "--store", url)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert (
            f"has schema {newest + 1}, which needs code that knows schema {newest + 1} or newer;"
            f" this code knows {newest}: upgrade"
        ) in said.err


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_every_command_names_the_migration_that_a_server_needs(
    cli: Cli, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    for setup in ("logs.configure_logging", "running.tune_interpreter"):  # of a process that is all its own
        monkeypatch.setattr(f"callboard.runtime.{setup}", lambda *args, **options: None)
    (folder / "tool_of_a_server.py").write_text("from callboard import Runtime\nruntime = Runtime()\n")
    commands = (["jobs", "list"], ["queues", "pause", "mail"], ["enqueue", "send"], ["doctor"], ["prune"])

    for command in (*commands, ["run", "tool_of_a_server:runtime"]):
        said = cli(*command, "--store", url)

        assert (said.code, said.out) == (2, ""), command
        line = said.err.splitlines()[-1]
        assert line.startswith("callboard: ")
        assert f"has no schema, this code expects {newest_of(url)}: `callboard migrate --store " in line
        assert url in line
        assert line.endswith(" brings it up to date")


def add_a_migration(monkeypatch: pytest.MonkeyPatch, *, min_code: int) -> None:
    """As a newer version of this code has it, on every store."""
    know(
        monkeypatch,
        {
            store: (*migrations, Migration(migrations[-1].number + 1, min_code, ()))
            for store, migrations in KNOWN.items()
        },
    )


def know(monkeypatch: pytest.MonkeyPatch, known: Mapping[str, Sequence[Migration]]) -> None:
    """As code that knows these migrations."""
    for store, migrations in known.items():
        if store == "sqlite":
            load = "callboard.storage.sqlite.connection.load_migrations"
            monkeypatch.setattr(load, lambda *where, migrations=migrations: migrations)
        else:
            monkeypatch.setattr(f"callboard.storage.{store}.opening.MIGRATIONS", migrations)


def newest_of(url: str) -> int:
    """The newest migration that this code knows for that kind of store."""
    [migrations] = [migrations for store, migrations in KNOWN.items() if url.startswith(store)]
    return migrations[-1].number
