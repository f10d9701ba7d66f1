"""What `doctor` says of a SQLite store."""

from __future__ import annotations

import sqlite3

from ..records import Finding
from ..statements import Statement
from .host import Host, file_size
from .reader import Reader
from .turns import LockWaits

_META = Statement("SELECT name, value FROM meta WHERE name IN ('schema_version', 'min_code')")
_MODE = Statement("PRAGMA journal_mode")
_CHECK = Statement("PRAGMA quick_check(3)")
_LOG_WARN_BYTES = 256 << 20
_LOCK_WAIT_WARN_MS = 50


async def examine(reader: Reader, host: Host, path: str, reserve_bytes: int, lock_waits: LockWaits) -> list[Finding]:
    """One line for each thing that can go wrong with a file."""
    meta = {str(row[0]): row[1] for row in await reader.all(_META)}
    [[mode]] = await reader.all(_MODE)
    damage = [str(found) for [found] in await reader.all(_CHECK)]
    left = host.room_bytes(path)
    log = file_size(f"{path}-wal")
    return [
        Finding("ok", "sqlite", f"SQLite {sqlite3.sqlite_version}, schema {meta['schema_version']}"),
        Finding(*_durability(mode)),
        Finding(*_integrity(damage)),
        Finding(
            "ok" if left >= reserve_bytes else "fail",
            "room",
            f"{left >> 20} MiB left, new jobs are refused below {reserve_bytes >> 20} MiB",
        ),
        Finding(
            "ok" if log < _LOG_WARN_BYTES else "warn",
            "log",
            f"{log >> 20} MiB wait to be folded into the file"
            + ("" if log < _LOG_WARN_BYTES else ": some program holds a long read on it"),
        ),
        Finding(
            "ok" if lock_waits.p99_ms <= _LOCK_WAIT_WARN_MS else "warn",
            "lock",
            f"waits for the write lock: p99 {lock_waits.p99_ms:.1f} ms, longest {lock_waits.longest_ms:.1f} ms "
            f"of {lock_waits.count}",
        ),
    ]


def _durability(mode: str) -> tuple[str, str, str]:
    if mode == "wal":
        return (
            "ok",
            "durability",
            "write-ahead log, as safe as synchronous=FULL: an answered commit outlives a power cut",
        )
    return "fail", "durability", f"journal_mode is {mode}, expected wal: some program changed it"


def _integrity(damage: list[str]) -> tuple[str, str, str]:
    if damage == ["ok"]:
        return "ok", "integrity", "quick_check found nothing"
    return "fail", "integrity", f"damaged: {damage[0]}; restore a backup"
