"""Opening a server as a store: what is refused, and how an empty namespace becomes a store.

Nothing is written before everything has been looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

from redis.exceptions import InvalidResponse

from ..errors import Corrupt, InvalidStore, Unavailable
from ..migrate import Migration, Schema, missing
from .connection import Info, Script, Server

OLDEST = (6, 2)
# Redis has no schema to change: a migration would be a script. The first one is the layout of keys.py.
MIGRATIONS = (Migration(1, 1, ()),)

_STAMP = Script("lua/store/stamp.lua", is_alone=True)


async def open_store(server: Server, *, new_id: bytes, migrate: bool) -> None:
    """Look at the server, and mark the namespace as a store if it is empty and `migrate`.

    Raises `InvalidStore`, `Corrupt`, `MigrationNeeded` or `Unavailable`; then nothing was written.
    """
    where = str(server.address)
    refuse_unusable(await _look_at(server), where)
    found = await server.fields(server.keys.meta)
    schema = _schema_of(found, where)
    newer = missing(schema, MIGRATIONS, store=where, url=server.address.url, migrate=migrate)
    if newer:
        server.store_id = await server.stamp(_STAMP, new_id, newer[-1].number, newer[-1].min_code)
    else:
        server.store_id = found[b"store_id"]


async def _look_at(server: Server) -> Info:
    """What the server says of itself. Its first answers may also be to what the client says when it connects."""
    where = str(server.address)
    try:
        return await server.info()
    except Corrupt as refused:
        said = str(refused.__cause__)
        if "DB index" in said:
            raise InvalidStore(
                f"{where}: the server has no database {server.address.db}; name a lower one, or a namespace of your "
                "own: ?namespace=name"
            ) from refused
        raise InvalidStore(f"{where} takes no commands from here: {said}") from refused
    except Unavailable as error:
        if isinstance(error.__cause__, InvalidResponse):
            raise InvalidStore(f"{where}: what answers there is no Redis server") from error
        raise


def refuse_unusable(info: Info, where: str) -> None:
    """Raises for a server on which jobs would not be safe."""
    version = str(info.get("redis_version", "0"))
    if _numbers(version) < OLDEST:
        raise InvalidStore(f"{where} is Redis {version}, expected {OLDEST[0]}.{OLDEST[1]} or newer: upgrade the server")
    if info.get("role") not in (None, "master"):
        raise Unavailable(f"{where} is a replica, expected the primary: name that server")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise InvalidStore(
            f"{where} has maxmemory-policy {policy}, with which Redis drops jobs when memory is short; expected "
            "noeviction: redis-cli CONFIG SET maxmemory-policy noeviction"
        )


def _schema_of(meta: Mapping[bytes, bytes], where: str) -> Schema:
    if not meta:
        return Schema(0, 0)
    try:
        if not meta[b"store_id"]:
            raise ValueError
        return Schema(int(meta[b"schema_version"]), int(meta[b"min_code"]))
    except (KeyError, ValueError):
        raise Corrupt(f"{where} says nothing sensible of itself: some other program uses this namespace") from None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
