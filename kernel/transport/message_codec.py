"""Messages <-> bytes, for actors on other nodes: plain values, and instances of the program's own message classes.

A dataclass, a NamedTuple and an Enum member travel by the name of their class and their fields. On arrival the class is
looked for among the modules that are there already, by exactly that name, and only a class of these three kinds is
taken: bytes import nothing and call nothing else. A dataclass gets its fields back as they were; its `__post_init__`
is not called again.

The two ends may run two versions of a program. Fields may be added at the end, with defaults: an older message gets
them. A message with more fields than its class has here is `Undecodable`, as is one whose class is not known here.

    first byte  then
    0           a scalar, in msgpack
    1           an instance whose fields are scalars: a msgpack array of class name, fields
    2           what `kernel/codec.py` writes, where an instance is a tuple (MARK, class name, fields), and a tuple that
                begins with MARK of its own is (MARK, None, its items)
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import msgpack

from ..codec import MAX_BYTES, MAX_DEPTH, SCALARS, NotStorable, Undecodable, decode, encode, pack_scalars

MARK = b"\x00callboard:instance"
_SCALAR, _FLAT, _NESTED = b"\x00", b"\x01", b"\x02"
_CONTAINERS = (list, tuple, dict, set, frozenset)
_BY_NAME: dict[str, _Shape] = {}  # grows with the program's own classes only


def pack_message(value: object) -> bytes:
    """`value` as bytes. Raises `NotStorable`, naming the way to the part that cannot travel, and what to do."""
    kind = type(value)
    try:
        if kind in SCALARS:
            return _SCALAR + pack_scalars(value)
        if kind not in _CONTAINERS and (shape := _shape_of(cast(type, kind))) is not None:
            fields = shape.take(value)
            if all(type(field) in SCALARS for field in fields):
                return _FLAT + pack_scalars([shape.name, *fields])
    except (OverflowError, UnicodeEncodeError):
        pass  # a long int, or text that `encode` refuses in better words
    return _NESTED + encode(_taken_apart(value, MAX_DEPTH))


def unpack_message(data: bytes, *, max_bytes: int = MAX_BYTES) -> object:
    """The value that `pack_message` was given. Raises `Undecodable`, and nothing else."""
    if len(data) > max_bytes:
        raise Undecodable(f"{len(data)} bytes: expected at most {max_bytes}")
    kind, content = data[:1], data[1:]
    if kind == _NESTED:
        value = decode(content, max_bytes=max_bytes)
        try:
            return _put_together(value)
        except TypeError as error:  # a member of a set, or a key, that cannot be one
            raise Undecodable(f"{len(data)} bytes that are no message ({error})") from None
    try:
        value = msgpack.unpackb(content)
    except Exception as error:  # whatever it is, they are not bytes of ours
        raise Undecodable(f"{len(data)} bytes that are no message ({type(error).__name__})") from None
    if kind == _SCALAR and type(value) in SCALARS:
        return value
    if kind == _FLAT and type(value) is list and all(type(field) in SCALARS for field in value):
        return _instance(value[0] if value else None, value[1:])
    raise Undecodable(f"{len(data)} bytes that are no message of this version")


class _Shape:
    """A class whose instances travel."""

    __slots__ = ("least", "make", "most", "name", "take")

    def __init__(
        self,
        name: str,
        take: Callable[[Any], Sequence[object]],  # the fields of an instance
        make: Callable[[list[object]], object],
        least: int,
        most: int,
    ) -> None:
        self.name = name
        self.take = take
        self.make = make
        self.least = least  # fields that have no default
        self.most = most


def _taken_apart(value: object, depth: int) -> object:
    """`value` in what the codec writes."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth < 0:
        return value  # the codec refuses it
    if kind is list or kind is set or kind is frozenset:
        return kind([_taken_apart(item, depth - 1) for item in value])  # type: ignore[attr-defined]
    if kind is dict:
        return {
            _taken_apart(key, depth - 1): _taken_apart(item, depth - 1)
            for key, item in value.items()  # type: ignore[attr-defined]
        }
    if kind is tuple:
        items = tuple([_taken_apart(item, depth - 1) for item in value])  # type: ignore[attr-defined]
        return (MARK, None, *items) if items and items[0] == MARK else items
    if (shape := _shape_of(cast(type, kind))) is not None:
        return (MARK, shape.name, *[_taken_apart(field, depth - 1) for field in shape.take(value)])
    return value


def _put_together(value: object) -> object:
    kind = type(value)
    if kind is list or kind is set or kind is frozenset:
        return kind([_put_together(item) for item in value])  # type: ignore[attr-defined]
    if kind is dict:
        return {_put_together(key): _put_together(item) for key, item in value.items()}  # type: ignore[attr-defined]
    if kind is tuple:
        items = [_put_together(item) for item in value]  # type: ignore[attr-defined]
        if not items or items[0] != MARK:
            return tuple(items)
        if len(items) < 2:
            raise Undecodable("an instance without its class")
        return tuple(items[2:]) if items[1] is None else _instance(items[1], items[2:])
    return value


def _instance(name: object, fields: list[object]) -> object:
    shape = _shape_named(name) if type(name) is str else None
    if shape is None:
        raise Undecodable(f"a message of class {name!r:.120}, which is not known here: import it where this node runs")
    if not shape.least <= len(fields) <= shape.most:
        raise Undecodable(f"a {name} of {len(fields)} fields, expected {shape.least} to {shape.most}: another version?")
    try:
        return shape.make(fields)
    except Exception as error:  # of a class of the program's own
        raise Undecodable(f"a {name} that cannot be made of its fields ({type(error).__name__})") from None


def _shape_named(name: str) -> _Shape | None:
    shape = _BY_NAME.get(name)
    if shape is None and (shape := _looked_up(name)) is not None:
        _BY_NAME[name] = shape
    return shape


def _looked_up(name: str) -> _Shape | None:
    module, _, qualname = name.partition(":")
    found: object = sys.modules.get(module) or (sys.modules["__main__"] if module == _main_name() else None)
    for step in qualname.split("."):
        found = vars(found).get(step) if isinstance(found, type) or type(found) is type(sys) else None
    if not isinstance(found, type):
        return None
    try:
        shape = _shape_of(found)
    except NotStorable:
        return None  # it is there by this name, but its instances travel by none
    return shape if shape is not None and shape.name == name else None


@lru_cache(maxsize=4096)
def _shape_of(cls: type) -> _Shape | None:
    """How instances of a class travel; None for one whose instances are left to the codec."""
    if issubclass(cls, Enum):
        return _Shape(_name_of(cls), lambda member: [member.name], lambda fields: cls[str(fields[0])], 1, 1)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        named: Any = cls
        most = len(named._fields)
        return _Shape(_name_of(cls), list, lambda fields: named(*fields), most - len(named._field_defaults), most)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls)
    return None


def _dataclass(cls: type) -> _Shape:
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    missing = dataclasses.MISSING
    required = [at for at, one in enumerate(fields) if one.default is missing and one.default_factory is missing]

    several = attrgetter(*names) if len(names) > 1 else None

    def take(value: Any) -> Sequence[object]:
        return several(value) if several is not None else [getattr(value, name) for name in names]

    def make(values: list[object]) -> object:
        made: object = object.__new__(cls)
        for name, value in zip(names, values, strict=False):
            object.__setattr__(made, name, value)
        for field in fields[len(values) :]:
            value = field.default if field.default_factory is missing else field.default_factory()
            object.__setattr__(made, field.name, value)
        return made

    is_plain = (
        not hasattr(cls, "__post_init__")
        and vars(cls).get("__dataclass_params__") is not None
        and cls.__dataclass_params__.init  # type: ignore[attr-defined]
        and all(field.init and not field.kw_only for field in fields)
        and "__init__" in vars(cls)
    )
    maker: Callable[[list[object]], object] = (lambda values: cls(*values)) if is_plain else make
    return _Shape(_name_of(cls), take, maker, required[-1] + 1 if required else 0, len(fields))


def _name_of(cls: type) -> str:
    """The name by which the other node finds it. Raises `NotStorable` for one that it cannot find."""
    module = cls.__module__
    if "<locals>" in cls.__qualname__:
        raise NotStorable(
            f"class {cls.__name__} is made within a function; define it in a module that both nodes import"
        )
    if module == "__main__":
        module = _main_name() or ""
        if not module:
            raise NotStorable(
                f"class {cls.__name__} belongs to the script that runs; define it in a module that both nodes import"
            )
    return f"{module}:{cls.__qualname__}"


def _main_name() -> str | None:
    """The name by which others import the module that runs as the program, if it has one."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return None if spec is None else spec.name
