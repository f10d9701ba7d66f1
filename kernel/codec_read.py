"""The reading half of the codec: see `codec.py` for what is stored how."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack

from . import codec_write as code
from .codec_write import MAX_DEPTH
from .errors import CallboardError

MAX_BYTES = 4 * 1024 * 1024  # what `decode` takes unless told otherwise


class Undecodable(CallboardError, ValueError):
    """Bytes that are not what `encode` writes, or that do not fit what they should be."""


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, depth: int = MAX_DEPTH) -> object:
    """The value that `encode` was given. Raises `Undecodable`, and nothing else, for bytes it cannot have written."""
    size = len(data)
    if size > max_bytes:
        raise Undecodable(f"{size} bytes: expected at most {max_bytes}")
    try:
        value = msgpack.unpackb(data, ext_hook=_HOOKS[depth], object_pairs_hook=_unique, timestamp=3)
    except MemoryError:
        raise
    except Exception as error:  # the parser's own, and those of the types it builds: all of them mean the same here
        raise Undecodable(f"{size} bytes that cannot be decoded: {_reason(error)}") from None
    # Only a container costs a walk, and only where enough bytes could open one: text in ASCII never does.
    if type(value) in _CONTAINERS and len(data.translate(None, _OPEN_NOTHING)) > depth and _deeper(value, depth):
        raise Undecodable(f"nested more than {depth} containers deep")
    return value


def peek(data: bytes, max_bytes: int) -> object:
    """What msgpack alone makes of `data`, None where it cannot: twice as fast as `decode`, and none of its promises.

    For a caller that compares the type of every part, takes no dict but an empty one, and turns to `decode` otherwise.
    """
    if len(data) > max_bytes:
        return None
    try:
        return msgpack.unpackb(data)
    except Exception:  # `decode` will say why
        return None


class _Malformed(ValueError):
    """Bytes that msgpack takes and the codec does not; the text holds nothing of what was stored."""


def _unique(pairs: list[tuple[Any, object]]) -> dict[Any, object]:
    items = dict(pairs)
    if len(items) != len(pairs):
        raise _Malformed("a key stands twice")
    return items


def _set_of(values: list[object]) -> set[object]:
    items = set(values)
    if len(items) != len(values):
        raise _Malformed("a member of a set stands twice")
    return items


def _frozenset_of(values: list[object]) -> frozenset[object]:
    return frozenset(_set_of(values))


def _dict_of(values: list[object]) -> dict[Any, object]:
    return _unique(list(zip(values[::2], values[1::2], strict=True)))


def _datetime_of(content: bytes) -> datetime:
    value = datetime.fromisoformat(content.decode("ascii"))
    if value.utcoffset() is None:
        raise _Malformed("a naive datetime")
    return value


def _int_of(content: bytes) -> int:
    if not content:
        raise _Malformed("an int of no bytes")
    return int.from_bytes(content, "big", signed=True)


def _timedelta_of(content: bytes) -> timedelta:
    days, seconds, microseconds = code.DAYS_SECONDS_MICROSECONDS.unpack(content)
    return timedelta(days, seconds, microseconds)


_CONTAINER_READERS: dict[int, Callable[[list[object]], object]] = {
    code.TUPLE: tuple,
    code.SET: _set_of,
    code.FROZENSET: _frozenset_of,
    code.DICT: _dict_of,
}
_READERS: dict[int, Callable[[bytes], object]] = {
    code.INT: _int_of,
    code.DATETIME: _datetime_of,
    code.DATE: lambda content: date.fromisoformat(content.decode("ascii")),
    code.TIME: lambda content: time.fromisoformat(content.decode("ascii")),
    code.TIMEDELTA: _timedelta_of,
    code.UUID_: lambda content: UUID(bytes=content),
    code.DECIMAL: lambda content: Decimal(content.decode("ascii")),
}


def _hook(depth: int) -> Callable[[int, bytes], object]:
    """The reader of extension types that may still be nested `depth` deep.

    One function per depth rather than a counter: it is the same for all threads, and it stops what would otherwise
    recurse in C, 40 KB of stack at a time, as deep as somebody's bytes say.
    """

    def read(kind: int, content: bytes) -> object:
        try:
            if (reader := _READERS.get(kind)) is not None:
                return reader(content)
            if (container := _CONTAINER_READERS.get(kind)) is not None:
                return container(items_of(content))
        except _Malformed:
            raise
        except (ValueError, TypeError, ArithmeticError, struct.error) as error:
            raise _Malformed(f"extension type {kind} with wrong content ({type(error).__name__})") from None
        raise _Malformed(f"unknown extension type {kind}")

    def items_of(content: bytes) -> list[object]:
        if depth <= 0:
            raise _Malformed("nested too deeply")
        values = msgpack.unpackb(content, ext_hook=_HOOKS[depth - 1], object_pairs_hook=_unique, timestamp=3)
        if type(values) is not list:
            raise _Malformed("a container without its array")
        return values

    return read


_HOOKS = [_hook(depth) for depth in range(MAX_DEPTH + 9)]  # a little room for callers that wrap values of full depth

_CONTAINERS = frozenset({list, dict, tuple, set, frozenset})
# Every byte that cannot be the head of an array, map or extension.
_OPEN_NOTHING = bytes({*range(256)} - {*range(0x80, 0xA0), *range(0xDC, 0xE0), *range(0xC7, 0xCA), *range(0xD4, 0xD9)})


def _deeper(value: object, depth: int) -> bool:
    """Whether `value`, a container, holds more than `depth` containers within each other, itself included."""
    if depth <= 0:
        return True
    if isinstance(value, dict):
        return any(type(item) in _CONTAINERS and _deeper(item, depth - 1) for pair in value.items() for item in pair)
    assert isinstance(value, Iterable)
    return any(type(item) in _CONTAINERS and _deeper(item, depth - 1) for item in value)


def _reason(error: Exception) -> str:
    """Why bytes were refused, on one line, with nothing of their content."""
    if isinstance(error, _Malformed):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    if isinstance(error, msgpack.exceptions.StackError):
        return "nested too deeply"
    if isinstance(error, msgpack.exceptions.ExtraData):
        return "a whole value, followed by more bytes"
    if isinstance(error, ValueError) and "incomplete" in str(error):
        return "they end too early"
    return f"no msgpack that Callboard writes ({type(error).__name__})"
