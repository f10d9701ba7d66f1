"""Where a Redis store is: `redis://[user:password@]host[:port][/db][?namespace=name]`, `rediss://` with TLS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from ..errors import InvalidStore

DEFAULT_NAMESPACE = "callboard"
_EXPECTED = "expected redis://host:6379/0, with ?namespace=name if several stores share a server"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and the part of it that is one store."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False
    namespace: str = DEFAULT_NAMESPACE

    def __str__(self) -> str:
        """As it may be printed."""
        return f"{self._url('')} (namespace {self.namespace})"

    @property
    def url(self) -> str:
        """What a command takes, but for the password."""
        user = quote(self.username or "", safe="")
        userinfo = f"{user}{':***' if self.password else ''}@" if user or self.password else ""
        option = "" if self.namespace == DEFAULT_NAMESPACE else f"?namespace={self.namespace}"
        return self._url(userinfo) + option

    def _url(self, userinfo: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.is_tls else ''}://{userinfo}{host}:{self.port}/{self.db}"


def address_of(shown: str, parts: SplitResult) -> Address:
    """The address in a URL; `shown` is the URL as it may be printed. Raises `InvalidStore`."""
    try:
        port = parts.port
    except ValueError:  # whose text may quote half a password
        raise InvalidStore(
            f"store URL {shown!r}: its port is no number up to 65535; {_EXPECTED}; in a password / ? # @ : are written "
            "as %2F %3F %23 %40 %3A"
        ) from None
    if not parts.hostname:
        raise InvalidStore(f"store URL {shown!r} names no host: {_EXPECTED}")
    if parts.fragment:
        raise InvalidStore(f"store URL {shown!r}: nothing may follow a '#'; write %23 for one in a password")
    path = parts.path.strip("/")
    if path and not (path.isascii() and path.isdigit()):
        raise InvalidStore(f"store URL {shown!r}: {path!r} is no number of a database; {_EXPECTED}")
    namespace = DEFAULT_NAMESPACE
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name != "namespace":
            raise InvalidStore(f"store URL {shown!r}: unknown option {name!r}; {_EXPECTED}")
        if not _IDENTIFIER.fullmatch(value):
            raise InvalidStore(
                f"store URL {shown!r}: namespace {value!r} is no identifier; expected letters, digits and _, not "
                "beginning with a digit, at most 63"
            )
        namespace = value
    return Address(
        host=parts.hostname,
        port=port or 6379,
        db=int(path or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=parts.scheme == "rediss",
        namespace=namespace,
    )
