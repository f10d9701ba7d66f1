"""What a PostgreSQL URL means: what the client is given, and the options that are Callboard's own. Pure.

postgresql://user:password@host:5432/database    and every other form that libpq takes, ?host=/socket/folder too
?schema=NAME                 where the tables are; callboard
?notify=off                  no LISTEN and NOTIFY: dispatchers poll; on
?listen=URL                  where to LISTEN, past a transaction pooler; the same server
?statement_cache_size=0      prepares nothing by name, for poolers that cannot carry it over; 200
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import InvalidStore

DEFAULT_SCHEMA = "callboard"
_CACHED_STATEMENTS = 200
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Options:
    """A PostgreSQL URL, taken apart."""

    dsn: str  # for the client
    listen_dsn: str  # for the connection that listens
    schema: str  # a checked identifier
    is_notifying: bool
    cached_statements: int
    shown: str  # as it may be printed: no password, no options

    @property
    def channel(self) -> str:
        """What LISTEN and NOTIFY of this schema go by."""
        return f"callboard_{self.schema}"


def options_of(url: str) -> Options:
    """Raises `InvalidStore` for a URL that cannot mean a server, in one line."""
    shown = without_secrets(url)
    parts = urlsplit(url)
    try:
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        _ = parts.port if "," not in parts.netloc else None
    except ValueError as exc:
        raise InvalidStore(
            f"store URL {shown} is malformed ({exc}): expected postgresql://user@host/database"
        ) from None
    schema = given.pop("schema", DEFAULT_SCHEMA)
    if _SCHEMA.fullmatch(schema) is None or schema.startswith("pg_"):
        raise InvalidStore(
            f"store URL {shown}: schema={schema!r} is no name for a schema: expected up to 48 of a-z, 0-9 and _, no"
            " digit first, not pg_..."
        )
    is_notifying = _switch(shown, given.pop("notify", "on"))
    cached = given.pop("statement_cache_size", str(_CACHED_STATEMENTS))
    if not cached.isdecimal() or len(cached) > 6:
        raise InvalidStore(f"store URL {shown}: statement_cache_size={cached!r}: expected a number, 0 for no cache")
    if parts.fragment:
        raise InvalidStore(f"store URL {shown}: nothing may follow a #; write %23 for one in a password")
    _, _, address = parts.netloc.rpartition("@")
    if not (address or given.keys() & {"host", "service"} or os.environ.get("PGHOST")):
        raise InvalidStore(
            f"store URL {shown} names no host: expected postgresql://user@host/database, or ?host=/socket/folder"
        )
    listen_dsn = given.pop("listen", None)
    if listen_dsn is not None and not listen_dsn.startswith(("postgresql://", "postgres://")):
        raise InvalidStore(f"store URL {shown}: listen= expects a whole postgresql:// URL, percent-encoded")
    query = f"?{urlencode(given)}" if given else ""
    dsn = f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
    return Options(dsn, listen_dsn or dsn, schema, is_notifying, int(cached), shown)


def without_secrets(url: str) -> str:
    """The URL as it may be printed: without user, password and options."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _switch(shown: str, text: str) -> bool:
    if text not in _SWITCH:
        raise InvalidStore(f"store URL {shown}: notify={text!r}: expected on or off")
    return _SWITCH[text]
