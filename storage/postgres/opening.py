"""Opening a database: is it one that we may work on, and is its schema the one that we know.

Migrations run in one transaction under a transaction's advisory lock, so of two nodes that start at once the second
finds the work done. The lock ends with the transaction: nothing is left in a session.

Nodes may be at work meanwhile. What changes a table waits until it is free, and whoever comes later waits behind that:
for `_LOCK_S` at most, then everything is undone and tried again a moment later.
"""

from __future__ import annotations

import zlib

from ..errors import InvalidStore, Unavailable
from ..migrate import Schema, load_migrations, missing
from .lane import Connection, Lane, Server

MIGRATIONS = load_migrations(__package__ or "", "sql/migrations")
_OLDEST_SERVER = 14
_MIGRATION_S = 3600.0
_LOCK_S = 2
_LOCKED = "55P03"
_LOCK_CLASS = 0x63626F61  # "cboa"
_PREPARED = "SELECT to_regclass($1)"
_HAS_SCHEMA = "SELECT count(*) FROM pg_namespace WHERE nspname = $1"
_META = "SELECT name, value FROM callboard.meta WHERE name IN ('schema_version', 'min_code')"
_WRITE_META = """
INSERT INTO callboard.meta (name, value) VALUES ('schema_version', $1), ('min_code', $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


async def open_schema(lane: Lane, *, migrate: bool) -> None:
    """Raises `InvalidStore`, `MigrationNeeded` or `Unavailable`; then nothing was changed."""
    await lane.open()
    await lane.run(_check_server, is_opening=True)
    server = lane.server

    async def open_(connection: Connection) -> None:
        found = await _schema(connection, server)
        if missing(found, MIGRATIONS, store=server.shown, url=server.options.url, migrate=migrate):
            async with connection.transaction(isolation="read_committed"):
                await _migrate(connection, server, migrate=migrate)

    try:
        await lane.run(open_, is_opening=True)
    except Unavailable as error:
        if getattr(error.__cause__, "sqlstate", None) != _LOCKED:
            raise
        raise Unavailable(
            f"{server.shown}: the schema was not changed, since other transactions keep its tables locked for longer"
            f" than {_LOCK_S} s: try again, or end them (pg_stat_activity shows which)"
        ) from error


async def _check_server(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < _OLDEST_SERVER:
        raise InvalidStore(f"PostgreSQL {version.major}.{version.minor} is too old: expected {_OLDEST_SERVER} or newer")
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise Unavailable("this server is a standby, which takes no writes: name the primary in the store URL")


async def _schema(connection: Connection, server: Server) -> Schema:
    if await connection.fetchval(_PREPARED, server.in_schema("callboard.meta")) is None:
        return Schema(0, 0)
    meta = {row["name"]: int(row["value"]) for row in await connection.fetch(server.in_schema(_META))}
    return Schema(meta.get("schema_version", 0), meta.get("min_code", 0))


async def _migrate(connection: Connection, server: Server, *, migrate: bool) -> None:
    name = server.options.schema
    await connection.fetchval("SELECT pg_advisory_xact_lock($1, $2)", _LOCK_CLASS, zlib.crc32(name.encode()) >> 1)
    if not await connection.fetchval(_HAS_SCHEMA, name):
        await connection.execute(f'CREATE SCHEMA "{name}"')
    found = await _schema(connection, server)  # another may have been quicker
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_S}s'")
    for migration in missing(found, MIGRATIONS, store=server.shown, url=server.options.url, migrate=migrate):
        for statement in migration.statements:
            await connection.execute(server.in_schema(statement), timeout=_MIGRATION_S)
        found = Schema(migration.number, max(found.min_code, migration.min_code))
        await connection.execute(server.in_schema(_WRITE_META), str(migration.number), str(found.min_code))
