"""Which link a runtime has to other nodes.

One is given as `Runtime(..., link="redis://...")`; a store in Redis is its own, by the same URL and namespace. There is
none where nothing is to be reached by it, and none in tests and simulations, unless their environment brings one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ..actors.node import NodeParts
from ..kernel.errors import LinkRefused, LinkUnavailable
from ..kernel.transport.port import Link
from ..storage.errors import InvalidStore, Unavailable
from ..storage.redis.address import Address, address_of
from ..storage.shown import without_password
from .environment import Environment

if TYPE_CHECKING:
    from .runtime import Runtime

_SCHEMES = ("redis", "rediss")


def checked_link(url: object) -> str | None:
    """A URL that may be a link's, or None. Raises `InvalidStore`; nothing is connected."""
    if url is None:
        return None
    if not isinstance(url, str):
        raise InvalidStore(f"link: expected a URL as text, such as 'redis://host:6379/0', found {url!r:.80}")
    _read(url)
    return url


def link_of(runtime: Runtime, environment: Environment, node: NodeParts) -> Link | None:
    """The runtime's link, not opened yet."""
    url = runtime.link_url
    if url is None and runtime.singletons and urlsplit(runtime.store_url).scheme in _SCHEMES:
        url = runtime.store_url
    if environment.store_of is not None:
        return None if environment.link_of is None else environment.link_of(url, node.boot_id)
    return None if url is None else _redis(url, node)


async def open_link(link: Link) -> None:
    """Connect it. Raises `Unavailable` or `InvalidStore`, as a store does: a command's --wait holds for both."""
    try:
        await link.open()
    except LinkUnavailable as error:
        raise Unavailable(str(error)) from error
    except LinkRefused as error:
        raise InvalidStore(str(error)) from error


def _redis(url: str, node: NodeParts) -> Link:
    parts, address = _read(url)
    try:
        from ..kernel.transport.redis_streams import RedisLink
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("redis", "hiredis"):
            raise
        raise InvalidStore("a link by Redis needs the package redis: pip install 'callboard[redis]'") from None
    at = urlunsplit(parts._replace(query=""))
    link: Link = RedisLink(at, namespace=address.namespace, node=node.boot_id.hex(), clock=node.clock, rng=node.rng)
    return link


def _read(url: str) -> tuple[SplitResult, Address]:
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise InvalidStore(f"link URL {shown!r}: expected redis://host:6379/0, with ?namespace=name if shared")
        return parts, address_of(shown, parts)
    except InvalidStore as error:
        raise InvalidStore(str(error).replace("store URL", "link URL", 1)) from None
    except ValueError as error:
        raise InvalidStore(f"link URL {shown!r} is malformed ({error}): expected redis://host:6379/0") from None
