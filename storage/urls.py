"""Store URLs: which store one means. Nothing is connected or created here.

`memory://` · `sqlite:///relative.db` · `sqlite:////absolute.db` · `postgresql://user@host/database` ·
`redis://host:6379/0?namespace=name`
"""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from ..kernel.clock import Clock
from .errors import InvalidStore
from .ports.store import Store
from .shown import without_password
from .store_clock import StoreTime

DEFAULT_STORE = "sqlite:///callboard.db"
_EXPECTED = "expected memory://, sqlite:///relative.db or sqlite:////absolute.db"
_ANY = f"{_EXPECTED}, or one of a server: postgresql://user@host/database, redis://host:6379/0"


def store_of(url: str, *, clock: Clock, disk_reserve_bytes: int) -> Store:
    """The store that `url` names, not opened yet. Raises `InvalidStore` for a URL that names none."""
    try:
        url.encode()
    except UnicodeEncodeError:  # bytes that came in by a variable of the environment
        raise InvalidStore(f"store URL {url!a}: expected UTF-8 text") from None
    shown = without_password(url)
    try:
        parts = urlsplit(url)
    except ValueError as exc:  # an opened bracket, say
        raise InvalidStore(f"store URL {shown!r} is malformed ({exc}): {_ANY}") from None
    if parts.scheme == "memory":
        if parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
            raise InvalidStore(f"store URL {shown!r}: memory:// takes nothing after it")
        from .memory.driver import MemoryStore

        return MemoryStore(clock=clock)
    if parts.scheme == "sqlite":
        if parts.netloc:
            raise InvalidStore(
                f"store URL {shown!r}: a SQLite file has no host; write sqlite:///{parts.netloc}{parts.path} for a"
                " relative path, sqlite:////absolute.db for an absolute one"
            )
        if parts.query or parts.fragment:
            raise InvalidStore(f"store URL {shown!r}: a SQLite URL takes no options; {_EXPECTED}")
        path = unquote(parts.path).removeprefix("/")
        if not path or "\0" in path:
            raise InvalidStore(f"store URL {shown!r} names no file: {_EXPECTED}")
        from .sqlite.driver import SqliteStore

        return SqliteStore(path, clock=clock, reserve_bytes=disk_reserve_bytes)
    if parts.scheme in ("postgresql", "postgres"):
        return _postgres(url, clock)
    if parts.scheme in ("redis", "rediss"):
        return _redis(shown, parts, clock)
    known = "" if parts.scheme else " (a path alone is no URL)"
    raise InvalidStore(f"store URL {shown!r} is of no known kind{known}: {_ANY}")


def _redis(shown: str, parts: SplitResult, clock: Clock) -> Store:
    from .redis.address import address_of

    address = address_of(shown, parts)
    try:
        from .redis.driver import RedisStore
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("redis", "hiredis"):
            raise
        raise InvalidStore("a Redis store needs the package redis: pip install 'callboard[redis]'") from None
    return RedisStore(address, clock=clock, time=StoreTime(clock))


def _postgres(url: str, clock: Clock) -> Store:
    try:
        from .postgres.driver import PostgresStore
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "asyncpg":
            raise
        raise InvalidStore("a PostgreSQL store needs the package asyncpg: pip install 'callboard[postgres]'") from None
    return PostgresStore(url, clock=clock, time=StoreTime(clock))
