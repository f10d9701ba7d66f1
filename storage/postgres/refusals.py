"""What the server and the client report, as the errors of stores."""

from __future__ import annotations

import socket
import ssl

import asyncpg

from ..errors import Corrupt, Full, InvalidStore, StorageError, StorageReset, Unavailable

# Deadlock, serialization failure, lock and statement time-out: the same call may well succeed a moment later.
TOO_SLOW = "57014"
PASSING = frozenset({"40P01", "40001", "55P03", TOO_SLOW})
_NO_ROOM = "53100"
_DROPPED = frozenset({"42P01", "3F000"})  # undefined table, schema
_STRANGE = _DROPPED | {"42703", "42P07"}  # undefined column; a table that is there where none was expected
# Classes 08 connection, 53 resources, 57 operator intervention, 58 system; 25P03 and 25P04: a transaction's time-out.
_AWAY = ("08", "53", "57", "58", "25P03", "25P04")
_READ_ONLY = "25006"
_NO_TLS = "rejected SSL upgrade"  # the client's words; the server's answer has none
_MISCONFIGURED = frozenset({"28P01", "28000", "3D000", "42501"})
# What a store that is being opened can be refused for, and what to do about it; waiting would not help.
_TO_DO = {
    "28P01": ": give the right user and password",
    "28000": ": give a user that may log in from here",
    "3D000": ": create it, or name another one",
    "42501": ": give the user the right to it, or have somebody run `callboard migrate` who has it",
    "42704": ": an option of the URL that neither Callboard, the client nor the server knows",
    "22023": ": an option of the URL that the server cannot use",
    "55P02": ": an option of the URL that the server cannot use",
}
_TAKEN = frozenset({"42P07", "42710", "42723"})  # a table, an object, a function of that name exists


class TooSlow(Unavailable):
    """The server ended the statement for the time that it took: fewer rows at once may do."""


def is_passing(error: BaseException, *, but_slow: bool = False) -> bool:
    """Whether the call should be made again at once; what took too long too, unless `but_slow`."""
    state = getattr(error, "sqlstate", None)
    return state in PASSING and not (but_slow and state == TOO_SLOW)


def ends_connection(error: BaseException) -> bool:
    """Whether the connection is of no more use: broken, half-open, or to a server that takes no writes."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(("08", "57P", "25P03", "25P04")) or state == _READ_ONLY
    return isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError))


def refusal_of(error: Exception, shown: str, *, is_new_work: bool = False, is_opening: bool = False) -> StorageError:
    """The error to raise in place of what the client raised."""
    text = _text_of(error)
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, asyncpg.ClientConfigurationError):
        return InvalidStore(f"{shown}: {text}")
    if is_opening:
        if state in _TO_DO:
            return InvalidStore(f"{shown}: {text}{_TO_DO[state]}")
        if state in _TAKEN:
            return Corrupt(f"{shown}: {text}: the schema holds what is not Callboard's; name another one by ?schema=")
        if _NO_TLS in text:
            return InvalidStore(f"{shown}: the server offers no TLS: set it up there, or leave sslmode out")
        if isinstance(error, ValueError | PermissionError | ssl.SSLCertVerificationError):
            return InvalidStore(f"{shown}: {text}")
    if state == _NO_ROOM and is_new_work:
        return Full(f"{shown} has no room left for new jobs: {text}")
    if state in _DROPPED and not is_opening:
        return StorageReset(f"{shown}: tables were dropped or replaced ({text})")
    if state in _STRANGE:
        return Corrupt(f"{shown}: {text}: these are not the tables of this version; was a backup restored in part?")
    if state == TOO_SLOW:
        return TooSlow(f"{shown}: {text}")
    if state.startswith(_AWAY) or state in PASSING or state in _MISCONFIGURED or state == _READ_ONLY:
        return Unavailable(f"{shown}: {text}")
    if isinstance(error, (asyncpg.PostgresError, asyncpg.DataError)):
        return StorageError(f"{shown}: {text}")
    return Unavailable(f"{shown}: {text}")


def _text_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, FileNotFoundError):
        return "no socket is there"
    if isinstance(error, socket.gaierror):
        return f"no host of that name is known ({error.strerror})"
    first, *_ = (str(error) or type(error).__name__).splitlines() or [""]
    return first
