"""The writing half of the codec: see `codec.py` for what is stored how."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

import msgpack

from .errors import CallboardError

MAX_DEPTH = 32  # containers within containers

INT, TUPLE, SET, FROZENSET, DICT, DATETIME, DATE, TIME, TIMEDELTA, UUID_, DECIMAL = range(1, 12)
_KEPT_BUFFER_BYTES = 1024 * 1024

DAYS_SECONDS_MICROSECONDS = struct.Struct(">iII")

Packable = Any  # what msgpack itself takes: the codec's edge


class NotStorable(CallboardError, TypeError):
    """A value cannot be stored. `where` leads to it (`argument 'x'[3].name`), `why` says what it is and what to do."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(why, where)
        self.why = why
        self.where = where

    def __str__(self) -> str:
        where = self.where or "value"
        return f"{where if len(where) <= 200 else where[:120] + ' ... ' + where[-75:]}: {self.why}"

    def inside(self, step: str) -> NotStorable:
        """This error, met one container further in: `step` is put before its path."""
        return type(self)(self.why, step + self.where)


def encode(value: object, *, depth: int = MAX_DEPTH) -> bytes:
    """`value` as bytes; equal sets give equal bytes, dicts keep their order.

    Raises `NotStorable`, naming the way to the part that cannot be stored: a type not listed above, a naive datetime,
    text with lone surrogates, more than `depth` containers within each other (a value that contains itself, too).
    """
    try:
        return pack(plain(value, depth))
    except UnicodeEncodeError:
        check_text(value)
        raise


def pack(packable: Packable) -> bytes:
    """What `plain` gave, as bytes. Raises UnicodeEncodeError for text with lone surrogates."""
    # A packer of its own per call: `default` runs Python code, in which another thread could enter a shared one.
    packed: bytes = msgpack.packb(packable, default=_long_int)
    return packed


class _Packer(threading.local):
    """A packer per thread: making one costs as much as packing a small call. It runs no Python code while it packs."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.pack = msgpack.Packer().pack


_local = _Packer()


def pack_scalars(value: Packable) -> bytes:
    """`value`, which is made of SCALARS, lists, tuples (as lists) and dicts of text keys only, as bytes.

    Raises UnicodeEncodeError for text with lone surrogates, OverflowError for an int beyond 64 bits.
    """
    packed: bytes = _local.pack(value)
    if len(packed) > _KEPT_BUFFER_BYTES:
        _local.renew()  # a packer keeps the largest buffer it ever needed
    return packed


def plain(value: object, depth: int = MAX_DEPTH) -> Packable:
    """`value` in what msgpack writes, at most `depth` containers deep. Raises `NotStorable`; text is not looked at."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if (writer := _WRITERS.get(kind)) is not None:
        return writer(value, depth)
    return _of_base(value, depth)


def _list(value: Iterable[object], depth: int) -> list[Packable]:
    if depth <= 0:
        _refuse_depth()
    items: list[Packable] = []
    try:
        for item in value:
            items.append(item if type(item) in SCALARS else plain(item, depth - 1))
    except NotStorable as error:
        raise error.inside(f"[{len(items)}]") from None
    return items


def _dict(value: dict[object, object], depth: int) -> Packable:
    if depth <= 0:
        _refuse_depth()
    items: dict[Any, Packable] = {}
    only_text = True
    key: object = None
    try:
        for key, item in value.items():
            if type(key) is not str:
                only_text = False
            items[key] = item if type(item) in SCALARS else plain(item, depth - 1)
    except NotStorable as error:
        raise error.inside(f"[{_shown(key)}]") from None
    return items if only_text else _dict_with_any_keys(items, depth)


def _dict_with_any_keys(items: dict[Any, Packable], depth: int) -> Packable:
    flat: list[Packable] = []
    for key, item in items.items():
        try:
            flat.append(plain(key, depth - 1))
        except NotStorable as error:
            raise error.inside(f" key {_shown(key)}") from None
        flat.append(item)
    return msgpack.ExtType(DICT, pack(flat))


def _tuple(value: tuple[object, ...], depth: int) -> Packable:
    return msgpack.ExtType(TUPLE, pack(_list(value, depth)))


def _set(value: Iterable[object], depth: int) -> Packable:
    return msgpack.ExtType(SET, _members(value, depth))


def _frozenset(value: Iterable[object], depth: int) -> Packable:
    return msgpack.ExtType(FROZENSET, _members(value, depth))


def _members(value: Iterable[object], depth: int) -> bytes:
    try:
        members = _list(value, depth)
    except NotStorable as error:  # the place of a member in a set says nothing
        raise NotStorable(error.why, "{...}" + error.where.partition("]")[2]) from None
    return pack(sorted(members, key=pack))


def _datetime(value: datetime, depth: int) -> Packable:
    if value.utcoffset() is None:
        raise NotStorable("a naive datetime cannot be stored; give it a time zone, such as datetime.UTC")
    return msgpack.ExtType(DATETIME, value.isoformat().encode())


def _time(value: time, depth: int) -> Packable:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise NotStorable(
            "a time in a zone whose offset depends on the day cannot be stored; pass the zone's name beside it"
        )
    return msgpack.ExtType(TIME, value.isoformat().encode())


def _of_base(value: object, depth: int) -> Packable:
    """A value of a subclass, as its plain base."""
    kind = type(value).__name__
    if isinstance(value, Enum):
        raise NotStorable(
            f"a member of Enum {kind} cannot be stored here; annotate the parameter or result with {kind}, "
            "or use its .value"
        )
    for base, writer in _BASES:
        if isinstance(value, base):
            return writer(value, depth)
    raise NotStorable(
        f"an object of type {kind} cannot be stored; use plain values, or annotate the parameter or result with its "
        "class if that is a dataclass, Enum, NamedTuple, TypedDict or pydantic model"
    )


def _long_int(value: object) -> Packable:
    """msgpack's `default`: the one thing that `plain` leaves for it, an int beyond 64 bits."""
    assert isinstance(value, int)
    return msgpack.ExtType(INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def check_text(value: object) -> None:
    """Raises `NotStorable` with the way to the first text in `value` that has lone surrogates."""
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise NotStorable(
                "text with lone surrogates cannot be stored; decode it with errors='replace', or use bytes"
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text_inside(key, f" key {_shown(key)}")
            _check_text_inside(item, f"[{_shown(key)}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_text_inside(item, f"[{index}]")
    elif isinstance(value, (set, frozenset)):
        for item in value:
            _check_text_inside(item, "{...}")


def _check_text_inside(value: object, step: str) -> None:
    try:
        check_text(value)
    except NotStorable as error:
        raise error.inside(step) from None


def _refuse_depth() -> NoReturn:
    raise NotStorable(
        f"nested more than {MAX_DEPTH} containers deep; flatten it, or store it elsewhere and pass its key"
    )


def _shown(key: object) -> str:
    """A key on one short line."""
    if isinstance(key, str):
        return ascii(key[:40])
    return repr(key) if type(key) is int and abs(key) < 10**18 else f"<{type(key).__name__}>"


SCALARS = frozenset({type(None), bool, int, float, str, bytes})

_WRITERS: dict[type, Callable[[Any, int], Packable]] = {
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    datetime: _datetime,
    date: lambda value, depth: msgpack.ExtType(DATE, value.isoformat().encode()),
    time: _time,
    timedelta: lambda value, depth: msgpack.ExtType(
        TIMEDELTA, DAYS_SECONDS_MICROSECONDS.pack(value.days, value.seconds, value.microseconds)
    ),
    UUID: lambda value, depth: msgpack.ExtType(UUID_, value.bytes),
    Decimal: lambda value, depth: msgpack.ExtType(DECIMAL, str(value).encode()),
}
# In this order: a datetime is a date.
_BASES: tuple[tuple[type, Callable[[Any, int], Packable]], ...] = (
    (str, lambda value, depth: str.__str__(value)),
    (int, lambda value, depth: int.__int__(value)),
    (float, lambda value, depth: float.__float__(value)),
    (bytes, lambda value, depth: bytes(value)),
    (bytearray, lambda value, depth: bytes(value)),
    *((base, writer) for base, writer in _WRITERS.items()),
)
