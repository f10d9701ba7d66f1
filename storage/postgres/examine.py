"""What `doctor` says of a PostgreSQL store."""

from __future__ import annotations

from ..records import Finding
from .lane import Connection, Row, Server

_SETTINGS = """
SELECT
    current_setting('server_version') AS version,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('max_connections')::integer AS most,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
    (
        SELECT max(extract(epoch FROM clock_timestamp() - xact_start))::bigint
        FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL
            AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'
    ) AS oldest_s
"""
_META = "SELECT value FROM callboard.meta WHERE name = 'schema_version'"
_SIZE = """
SELECT
    pg_total_relation_size('callboard.ready') AS ready,
    pg_total_relation_size('callboard.running') AS running,
    (SELECT count(*) FROM callboard.running) AS leases
"""
_OLD_SNAPSHOT_S = 60
_BLOAT_BYTES = 256 << 20


async def examine(connection: Connection, server: Server) -> list[Finding]:
    """One line for each thing that can go wrong with a server."""
    settings = await connection.fetchrow(_SETTINGS)
    sizes = await connection.fetchrow(server.in_schema(_SIZE))
    version = await connection.fetchval(server.in_schema(_META))
    assert settings is not None
    assert sizes is not None
    return [
        Finding("ok", "postgres", f"PostgreSQL {settings['version']}, schema {version} in {server.options.schema}"),
        _durability(settings),
        _connections(settings),
        _snapshots(settings),
        _bloat(sizes),
    ]


def _durability(settings: Row) -> Finding:
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if settings[name] == "off"]
    if off:
        return Finding("warn", "durability", f"{', '.join(off)} off: commits that were answered may be lost in a crash")
    return Finding("ok", "durability", "a commit that was answered outlives a power cut")


def _connections(settings: Row) -> Finding:
    used, most = settings["used"], settings["most"]
    if used * 10 >= most * 9:
        return Finding("warn", "connections", f"{used} of {most} in use: raise max_connections, a node needs about 7")
    return Finding("ok", "connections", f"{used} of {most} in use")


def _snapshots(settings: Row) -> Finding:
    oldest_s = settings["oldest_s"] or 0
    if oldest_s >= _OLD_SNAPSHOT_S:
        return Finding("warn", "snapshots", f"a transaction is open for {oldest_s} s: until it ends no space is reused")
    return Finding("ok", "snapshots", "no transaction is open for long")


def _bloat(sizes: Row) -> Finding:
    ready, running = sizes["ready"] >> 20, sizes["running"] >> 20
    text = f"ready {ready} MiB, running {running} MiB for {sizes['leases']} leases"
    if sizes["running"] >= _BLOAT_BYTES:
        return Finding("warn", "room", f"{text}: VACUUM FULL running gives it back")
    return Finding("ok", "room", text)
