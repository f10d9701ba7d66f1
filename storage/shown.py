"""A store's URL as it may be printed. Pure.

What is no password must not be lost, what may be one must not be shown: a password whose own / ? # or @ was not
written as % and two digits cuts a URL in the wrong place, so everything up to the last @ counts as user and password.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

_HIDDEN = "***"
_SECRETS = frozenset({"password", "sslpassword"})


def without_password(url: str) -> str:
    """`url` with *** in place of each password, those of `?password=` and `?listen=` too."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    if rest.startswith("/"):  # a file, or a host that stands among the options: no user, no password
        place, userinfo, at = rest, "", ""
    else:
        userinfo, at, place = rest.rpartition("@")
        if "?" in userinfo and _is_well_formed(rest):  # the @ stands in the options
            place, userinfo, at = rest, "", ""
            before, _, after = rest.partition("?")
            if "@" in before:
                userinfo, at, place = before.rpartition("@")
                place = f"{place}?{after}"
    user, colon, _ = userinfo.partition(":")
    if "/" in user or "?" in user:
        user = ""
    return f"{scheme}{separator}{user}{colon and ':' + _HIDDEN}{at}{_shown_options(place)}"


def _is_well_formed(rest: str) -> bool:
    """Whether what stands before the options could be a whole address: user:password@host:port/path."""
    address = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    port = address.rpartition("]")[2].rpartition(":")[2] if ":" in address.rpartition("]")[2] else ""
    return not port or port.isdecimal() or "," in address


def _shown_options(place: str) -> str:
    path, question, options = place.partition("?")
    if not question:
        return place
    return f"{path}?{'&'.join(_shown_option(option) for option in options.split('&'))}"


def _shown_option(option: str) -> str:
    name, equals, value = option.partition("=")
    if unquote(name).lower() in _SECRETS:
        return f"{name}{equals}{_HIDDEN}"
    if unquote(name) == "listen":
        return f"{name}{equals}{quote(without_password(unquote(value)), safe=':/@*?=,[]')}"
    return option
