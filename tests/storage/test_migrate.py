"""Which migrations a store needs, and when code must keep its hands off."""

from __future__ import annotations

import pytest

from callboard.storage.errors import MigrationNeeded
from callboard.storage.migrate import Migration, Schema, load_migrations, missing

KNOWN = tuple(Migration(number, min_code, ("SELECT 1",)) for number, min_code in ((1, 1), (2, 1), (3, 3)))


@pytest.mark.parametrize(("version", "needed"), [(0, [1, 2, 3]), (1, [2, 3]), (3, [])])
def test_what_is_missing_is_applied_in_order(version: int, needed: list[int]) -> None:
    found = missing(Schema(version, 1), KNOWN, store="jobs.db", url="sqlite:///jobs.db", migrate=True)

    assert [migration.number for migration in found] == needed


def test_an_older_schema_needs_leave() -> None:
    with pytest.raises(
        MigrationNeeded,
        match=r"jobs\.db has schema 1, this code expects 3: `callboard migrate --store sqlite:///jobs\.db` brings it",
    ):
        missing(Schema(1, 1), KNOWN, store="jobs.db", url="sqlite:///jobs.db", migrate=False)

    assert not missing(Schema(3, 3), KNOWN, store="jobs.db", url="sqlite:///jobs.db", migrate=False)


def test_a_newer_schema_is_used_while_its_min_code_allows() -> None:
    assert not missing(Schema(9, 3), KNOWN, store="jobs.db", url="sqlite:///jobs.db", migrate=True)

    with pytest.raises(MigrationNeeded, match="needs code that knows schema 4 or newer; this code knows 3: upgrade"):
        missing(Schema(9, 4), KNOWN, store="jobs.db", url="sqlite:///jobs.db", migrate=True)


def test_migrations_are_loaded_in_order_with_their_statements() -> None:
    first, *_ = load_migrations("callboard.storage.sqlite", "sql/migrations")

    assert (first.number, first.min_code) == (1, 1)
    assert any(statement.startswith("CREATE TABLE jobs (") for statement in first.statements)
    assert not any(statement.endswith(";") for statement in first.statements)
