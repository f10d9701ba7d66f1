"""What `doctor` says of a Redis store."""

from __future__ import annotations

from ...kernel.clock import Clock
from ..clocks import look_from_here
from ..errors import StorageError
from ..records import Finding
from .connection import Info, Server

# appendfsync: the level of the finding, and what a power cut takes
_WRITTEN = {
    "always": ("ok", "what was acknowledged outlives a power cut"),
    "everysec": ("ok", "what was acknowledged outlives the server's process; a power cut takes the last second"),
    "no": ("warn", "a power cut takes what the system had not written yet; CONFIG SET appendfsync everysec"),
}
_UNKNOWN = ("ok", "what was acknowledged outlives the server's process (CONFIG GET appendfsync is not allowed here)")


async def examine(server: Server, clock: Clock) -> list[Finding]:
    """One line for each thing that can go wrong with a server."""
    info = await server.info()
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    schema = await server.command("HGET", server.keys.meta, "schema_version")

    async def now_ms() -> int:
        seconds, micros = await server.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    return [
        Finding("ok", "redis", f"{name} {version}, schema {(schema or b'none').decode()}, {server.address}"),
        *await look_from_here(now_ms, clock),
        Finding(*_durability(info, await _appendfsync(server))),
        Finding(*_eviction(info)),
        Finding(*_room(info)),
    ]


async def _appendfsync(server: Server) -> str | None:
    """How the append-only file is written; None where the server does not say."""
    try:
        found: list[bytes] = await server.command("CONFIG", "GET", "appendfsync")  # name, value
    except StorageError:  # managed servers have no CONFIG
        return None
    return found[1].decode() if len(found) == 2 else None


def _durability(info: Info, appendfsync: str | None) -> tuple[str, str, str]:
    if info.get("loading", "0") != "0":
        return "warn", "durability", "the server is loading its data"
    if info.get("aof_enabled", "0") != "0":
        if info.get("aof_last_write_status", "ok") != "ok":
            return "fail", "durability", "the append-only file could not be written: look at the server's disk"
        level, means = _WRITTEN.get(appendfsync or "", _UNKNOWN)
        known = f", appendfsync {appendfsync}" if appendfsync in _WRITTEN else ""
        return level, "durability", f"appendonly yes{known}: {means}"
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return "fail", "durability", "appendonly no, and the last snapshot failed: look at the server's disk"
    return (
        "warn",
        "durability",
        "appendonly no: a restart loses what came after the last snapshot; CONFIG SET appendonly yes",
    )


def _eviction(info: Info) -> tuple[str, str, str]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return "ok", "eviction", "maxmemory-policy noeviction"
    return "fail", "eviction", f"maxmemory-policy {policy} drops jobs when memory is short, expected noeviction"


def _room(info: Info) -> tuple[str, str, str]:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return "ok", "room", f"{used >> 20} MiB used, no maxmemory"
    level = "ok" if used < limit * 0.9 else "warn" if used < limit else "fail"
    return level, "room", f"{used >> 20} of {limit >> 20} MiB used; new jobs are refused beyond"
