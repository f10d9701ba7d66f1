"""Numbered migrations: which of them a store still needs, and whether this code may use the store at all. Pure.

The store keeps two numbers: `schema_version`, the last migration applied, and `min_code`, the oldest code that may
work on it. Code refuses only a schema whose `min_code` is above the newest migration that it knows: an additive
migration leaves older processes at work.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from .errors import MigrationNeeded, SchemaTooNew

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_MIN_CODE = re.compile(r"^-- min_code: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a schema, applied whole or not at all."""

    number: int  # from 1, without gaps
    min_code: int  # the oldest code that may work on the schema after it
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a store says of itself; an empty one says (0, 0)."""

    version: int
    min_code: int


def load_migrations(package: str, folder: str) -> tuple[Migration, ...]:
    """All migrations in `folder` of `package`, by number. Their files are called as `0001_first.sql`."""
    found = []
    for entry in files(package).joinpath(folder).iterdir():
        if (match := _NAME.fullmatch(entry.name)) is None:
            continue
        source = entry.read_text("utf-8")
        min_code = _MIN_CODE.search(source)
        if min_code is None:
            raise ValueError(f"{entry.name} lacks its line '-- min_code: N'")
        found.append(Migration(int(match[1]), int(min_code[1]), _split(source)))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations in {folder} are not numbered 1, 2, 3: {[one.number for one in found]}")
    return tuple(found)


def missing(schema: Schema, known: Sequence[Migration], *, store: str, url: str, migrate: bool) -> Sequence[Migration]:
    """The migrations to apply, in order. `store` and `url` are for the error: what it is, and how a command names it.

    Raises `SchemaTooNew` for a schema that this code must not touch, `MigrationNeeded` for an older one unless
    `migrate`.
    """
    newest = known[-1].number
    if schema.min_code > newest:
        raise SchemaTooNew(
            f"{store} has schema {schema.version}, which needs code that knows schema {schema.min_code} or newer; this "
            f"code knows {newest}: upgrade callboard here, or use another store",
            found=schema.version,
        )
    needed = [migration for migration in known if migration.number > schema.version]
    if needed and not migrate:
        found = f"schema {schema.version}" if schema.version else "no schema"
        raise MigrationNeeded(
            f"{store} has {found}, this code expects {newest}: `callboard migrate --store {shlex.quote(url)}` brings "
            "it up to date",
            found=schema.version,
        )
    return needed


def _split(source: str) -> tuple[str, ...]:
    lines = (line for line in source.splitlines() if not line.lstrip().startswith("--"))
    return tuple(part for statement in "\n".join(lines).split(";\n") if (part := statement.strip().rstrip(";")))
