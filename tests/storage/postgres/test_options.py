"""Store URLs of PostgreSQL: what is taken, and what is refused in one line that shows no password."""

from __future__ import annotations

import pytest

from callboard.storage.errors import InvalidStore
from callboard.storage.postgres.options import options_of


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost",
        "postgres://me:secret@db.example:6543/jobs",
        "postgresql://db1:5432,db2:5433/jobs?target_session_attrs=read-write",
        "postgresql://me@[::1]:5432/jobs",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/jobs",
        "postgresql:///jobs?host=/var/run/postgresql",
    ],
)
def test_every_form_of_a_url_goes_to_the_client_as_it_is(url: str) -> None:
    options = options_of(url)

    assert options.dsn.partition("?")[0] == url.partition("?")[0]
    assert (options.schema, options.is_notifying, options.listen_dsn) == ("callboard", True, options.dsn)


def test_own_options_are_taken_out() -> None:
    listen = "postgresql%3A%2F%2Fdirect%2Fjobs"

    options = options_of(
        f"postgresql://h/d?schema=jobs_2&notify=off&statement_cache_size=0&sslmode=require&listen={listen}"
    )

    assert options.dsn == "postgresql://h/d?sslmode=require"
    assert (options.schema, options.is_notifying, options.cached_statements) == ("jobs_2", False, 0)
    assert options.listen_dsn == "postgresql://direct/jobs"


@pytest.mark.parametrize(
    "schema", ["", "Jobs", "1st", "a-b", 'a"b', "a;DROP TABLE x", "a b", "pg_catalog", "x" * 49, "jobs.x", "brève"]
)
def test_a_schema_that_is_no_identifier_is_refused(schema: str) -> None:
    with pytest.raises(InvalidStore, match="is no name for a schema"):
        options_of(f"postgresql://h/d?schema={schema}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:secret@h:port/d", "is malformed"),
        ("postgresql://me:secret@h/d?notify=perhaps", "expected on or off"),
        ("postgresql://me:secret@h/d?statement_cache_size=-1", "expected a number"),
        ("postgresql://me:secret@h/d?listen=elsewhere", "expects a whole postgresql:// URL"),
        ("postgresql://me:secret@h/d#fragment", "nothing may follow a #"),
        ("postgresql://me:secret@h/d?nonsense", "is malformed"),
    ],
)
def test_a_url_that_is_wrong_is_refused_in_one_line_without_its_password(url: str, says: str) -> None:
    with pytest.raises(InvalidStore, match=says) as refusal:
        options_of(url)

    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_url_without_a_host_is_refused_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    with pytest.raises(InvalidStore, match="names no host"):
        options_of("postgresql:///jobs")

    monkeypatch.setenv("PGHOST", "/run/postgresql")
    assert options_of("postgresql:///jobs").dsn == "postgresql:///jobs"
