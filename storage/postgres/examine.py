"""What `doctor` says of a PostgreSQL store."""

from __future__ import annotations

import asyncio

import asyncpg

from ...kernel.clock import Clock
from ..clocks import look_from_here
from ..records import Finding
from .lane import Connection, Row, Server, disconnect
from .options import without_secrets
from .refusals import refusal_of

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_CHANNEL = "callboard_doctor"
_NOTIFY = "SELECT pg_notify($1::text, $2::text)"
_HEARD_WITHIN_S = 2.0
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


async def examine(connection: Connection, server: Server, clock: Clock) -> list[Finding]:
    """One line for each thing that can go wrong with a server."""
    settings = await connection.fetchrow(_SETTINGS)
    sizes = await connection.fetchrow(server.in_schema(_SIZE))
    version = await connection.fetchval(server.in_schema(_META))
    assert settings is not None
    assert sizes is not None
    return [
        Finding("ok", "postgres", f"PostgreSQL {settings['version']}, schema {version} in {server.options.schema}"),
        *await look_from_here(lambda: connection.fetchval(_NOW), clock),
        _durability(settings),
        await _wakeups(connection, server, clock),
        _connections(settings),
        _snapshots(settings),
        _bloat(sizes),
    ]


def _durability(settings: Row) -> Finding:
    off = [name for name in _DURABLE if settings[name] == "off"]
    level = ", ".join(f"{name} {settings[name]}" for name in _DURABLE)
    if off:
        text = f"{level}: commits that were answered may be lost in a crash; set {' and '.join(off)} on"
        return Finding("warn", "durability", text)
    return Finding("ok", "durability", f"{level}: a commit that was answered outlives a power cut")


async def _wakeups(connection: Connection, server: Server, clock: Clock) -> Finding:
    """Whether what is told by NOTIFY arrives where nodes LISTEN: behind a transaction pooler it does not."""
    options = server.options
    if not options.is_notifying:
        return Finding("ok", "wake-ups", "notify=off: nodes look for work by themselves, as the setting poll says")
    where = f" on {without_secrets(options.listen_dsn)}" if options.listens_elsewhere else ""
    try:
        took_ms = await _hear(connection, server, clock)
    except TimeoutError:
        why = f"LISTEN{where} hears no NOTIFY: name a way past the pooler by ?listen=, or say ?notify=off"
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        why = f"no LISTEN: {refusal_of(error, without_secrets(options.listen_dsn))}"
    else:
        return Finding("ok", "wake-ups", f"LISTEN{where} hears a NOTIFY in {took_ms:.1f} ms")
    return Finding("warn", "wake-ups", f"{why}; until then jobs start as late as the setting poll says")


async def _hear(connection: Connection, server: Server, clock: Clock) -> float:
    """How many milliseconds a NOTIFY takes. Raises `TimeoutError`, and what the client raises."""
    token = f"{server.rng.getrandbits(64):016x}"
    heard = asyncio.Event()

    def on_message(ear: object, pid: int, channel: str, message: object) -> None:
        if message == token:
            heard.set()

    ear = await server.connect(dsn=server.options.listen_dsn)
    try:
        await ear.add_listener(_CHANNEL, on_message)
        began = clock.monotonic()
        await connection.execute(_NOTIFY, _CHANNEL, token)
        async with asyncio.timeout(_HEARD_WITHIN_S):
            await heard.wait()
        return (clock.monotonic() - began) * 1000
    finally:
        await disconnect(ear)


def _connections(settings: Row) -> Finding:
    used, most = settings["used"], settings["most"]
    if used * 10 >= most * 9:
        return Finding("warn", "connections", f"{used} of {most} in use: raise max_connections, a node would have 9")
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
