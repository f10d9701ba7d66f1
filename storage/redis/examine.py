"""What `doctor` says of a Redis store."""

from __future__ import annotations

from ..records import Finding
from .connection import Server
from .opening import MIGRATIONS, Info


async def examine(server: Server) -> list[Finding]:
    """One line for each thing that can go wrong with a server."""
    info: Info = await server.command("INFO")
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    return [
        Finding("ok", "redis", f"{name} {version}, schema {MIGRATIONS[-1].number}, {server.address}"),
        Finding(*_durability(info)),
        Finding(*_eviction(info)),
        Finding(*_room(info)),
    ]


def _durability(info: Info) -> tuple[str, str, str]:
    if info.get("loading"):
        return "warn", "durability", "the server is loading its data"
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") != "ok":
            return "fail", "durability", "the append-only file could not be written: look at the server's disk"
        return "ok", "durability", "append-only file: what was acknowledged outlives the server's process"
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return "fail", "durability", "no append-only file, and the last snapshot failed: look at the server's disk"
    return (
        "warn",
        "durability",
        "no append-only file: a restart loses what came after the last snapshot; CONFIG SET appendonly yes",
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
