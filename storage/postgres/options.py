"""What a PostgreSQL URL means: what the client is given, and the options that are Callboard's own. Pure.

postgresql://user:password@host:5432/database    and every other form that libpq takes, ?host=/socket/folder too
?schema=NAME                 where the tables are; callboard
?notify=off                  no LISTEN and NOTIFY: dispatchers poll; on
?listen=URL                  where to LISTEN, past a transaction pooler; the same server
?statement_cache_size=0      prepares nothing by name, for poolers that cannot carry it over; 200

Other options go to the client. A name that it does not know is taken for a setting of the server, which refuses what
is none.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..errors import InvalidStore
from ..shown import without_password

DEFAULT_SCHEMA = "callboard"
_EXPECTED = "expected postgresql://user@host:5432/database; in a password / ? # @ : are written as %2F %3F %23 %40 %3A"
_CACHED_STATEMENTS = 200
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_SWITCH = {"on": True, "off": False}
# libpq knows these and the client does not; each is about what the client does in its own way.
_LEFT_OUT = frozenset(
    {
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssdelegation",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "tcp_user_timeout",
    }
)
# And these ask for a protection that the client cannot give: left out where they only prefer it.
_NOT_TO_BE_HAD = frozenset({"channel_binding", "gssencmode"})


@dataclass(frozen=True, slots=True)
class Options:
    """A PostgreSQL URL, taken apart."""

    dsn: str  # for the client
    listen_dsn: str  # for the connection that listens
    schema: str  # a checked identifier
    is_notifying: bool
    cached_statements: int
    shown: str  # as it may be printed: no user, no password, no options but the host
    url: str  # as a command takes it, but for passwords

    @property
    def listens_elsewhere(self) -> bool:
        """Whether LISTEN has a server of its own, past a pooler."""
        return self.listen_dsn != self.dsn

    @property
    def channel(self) -> str:
        """What LISTEN and NOTIFY of this schema go by."""
        return f"callboard_{self.schema}"


def options_of(url: str) -> Options:
    """Raises `InvalidStore` for a URL that cannot mean a server, in one line."""
    shown = without_secrets(url)
    parts = urlsplit(url)
    # What the parsers say of a broken URL is not told: it may quote a password whose own signs cut the URL.
    try:
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise InvalidStore(
            f"store URL {shown} is malformed (its options are no name=value&name=value): {_EXPECTED}"
        ) from None
    try:
        _ = parts.port if "," not in parts.netloc else None
    except ValueError:
        raise InvalidStore(f"store URL {shown} is malformed (its port is no number up to 65535): {_EXPECTED}") from None
    schema = given.pop("schema", DEFAULT_SCHEMA)
    if _SCHEMA.fullmatch(schema) is None or schema.startswith("pg_"):
        raise InvalidStore(
            f"store URL {shown}: schema={schema!r} is no name for a schema: expected up to 48 of a-z, 0-9 and _, no"
            " digit first, not pg_..."
        )
    is_notifying = _switch(shown, given.pop("notify", "on"))
    cached = given.pop("statement_cache_size", str(_CACHED_STATEMENTS))
    if not (cached.isascii() and cached.isdecimal()) or len(cached) > 6:
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
    _leave_out(given, shown)
    query = f"?{urlencode(given)}" if given else ""
    dsn = f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
    return Options(dsn, listen_dsn or dsn, schema, is_notifying, int(cached), shown, without_password(url))


def without_secrets(url: str) -> str:
    """The URL as it may be printed: without user, password and options, but for a host that stands among them."""
    parts = urlsplit(without_password(url))
    host = dict(parse_qsl(parts.query)).get("host")
    option = f"?host={quote(host, safe='/:,')}" if host else ""
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}{option}"


def _leave_out(given: dict[str, str], shown: str) -> None:
    """Take from the options what the client would take for a setting of the server."""
    for name in _LEFT_OUT & given.keys():
        del given[name]
    for name in sorted(_NOT_TO_BE_HAD & given.keys()):
        if (wanted := given.pop(name)) not in ("disable", "prefer"):
            raise InvalidStore(
                f"store URL {shown}: {name}={wanted!r} cannot be had, since asyncpg knows no such thing; leave it out"
                " (sslmode=verify-full makes sure of the server)"
            )


def _switch(shown: str, text: str) -> bool:
    if text not in _SWITCH:
        raise InvalidStore(f"store URL {shown}: notify={text!r}: expected on or off")
    return _SWITCH[text]
