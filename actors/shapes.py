"""From annotations to shapes: read top-down, one annotation is one `Shape`.

What cannot be stored becomes a problem that `callboard check` reports, and a shape that leaves the decision about each
value to the codec.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, ForwardRef, Literal, NewType, TypeVar, Union
from uuid import UUID

from ..kernel.durations import seconds
from . import shape_classes as classes
from . import shape_containers as containers
from .shape import Shape, anything, atom, transparent, wrapped
from .signature import Scope, signature_of

_PLAIN: dict[Any, Shape] = {
    NoneType: transparent(NoneType, name="None"),
    bool: transparent(bool),
    int: transparent(int, int, bool),
    float: transparent(float, float, int, bool),
    str: transparent(str),
    bytes: transparent(bytes),
    bytearray: wrapped(bytearray, bytes, bytes),
    datetime: atom(datetime, lambda text: _aware(datetime.fromisoformat(text)), str),
    date: atom(date, date.fromisoformat, str),
    time: atom(time, time.fromisoformat, str),
    timedelta: atom(timedelta, lambda given: timedelta(seconds=seconds(given)), str, int, float),
    UUID: atom(UUID, UUID, str),
    Decimal: atom(Decimal, Decimal, str, int),
}

_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping, collections.OrderedDict)


class Shapes:
    """The shapes of one handler's annotations. Classes are kept, so that one may contain itself."""

    def __init__(self, scope: Scope) -> None:
        self.problems: list[str] = []
        self._scope = scope
        self._where = ""
        self._known: dict[Any, Shape] = {}
        self._open: list[Any] = []  # aliases that are being read

    def read(self, annotation: Any, where: str) -> Shape:
        """The shape of an annotation as it stands in a signature; `where` names it in problems."""
        self._where = where
        if annotation is inspect.Parameter.empty:
            return anything()
        try:
            return self.of(self._scope.resolve(annotation))
        except (
            Exception
        ) as error:  # evaluating text can raise anything; without its type a value is what the codec says
            self._problem(f"its annotation cannot be resolved ({type(error).__name__}: {error})")
            return anything()

    def of(self, annotation: Any) -> Shape:
        """The shape of a resolved annotation."""
        if annotation is Any or annotation is object:
            return anything()
        if isinstance(annotation, NewType):
            return self.of(annotation.__supertype__)
        if isinstance(annotation, TypeVar):
            return self.of(annotation.__bound__) if annotation.__bound__ is not None else anything()
        if type(annotation).__name__ == "TypeAliasType":  # `type X = ...`, from Python 3.12 on
            return self._of_alias(annotation, lambda: annotation.__value__)
        if isinstance(annotation, (str, ForwardRef)):
            return self._of_alias(annotation, lambda: self._scope.resolve(annotation))
        if annotation is None:
            return _PLAIN[NoneType]
        if annotation in (tuple, typing.Tuple):  # noqa: UP006
            return containers.sequence(tuple, (tuple,), anything(), "tuple")
        origin = typing.get_origin(annotation)
        return self._of_class(annotation, ()) if origin is None else self._of_generic(annotation, origin)

    def _of_alias(self, alias: Any, value: Callable[[], Any]) -> Shape:
        """What an alias stands for; within itself, as in `type Json = list[Json] | str`, whatever the codec takes."""
        if alias in self._open:
            return anything()
        self._open.append(alias)
        try:
            return self.of(value())
        finally:
            self._open.remove(alias)

    def _of_generic(self, annotation: Any, origin: Any) -> Shape:
        arguments = typing.get_args(annotation)
        if origin is Union or origin is UnionType:
            return containers.union([self.of(member) for member in arguments], _name(annotation))
        if origin is Literal:
            shape = Shape(_name(annotation))
            classes.literal(shape, arguments)
            return shape
        if origin is typing.Annotated or origin in (typing.Final, typing.ClassVar, typing.Required, typing.NotRequired):
            return self.of(arguments[0])
        if origin is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return containers.sequence(tuple, (tuple,), self.of(arguments[0]), _name(annotation))
            return containers.fixed_tuple(tuple(self.of(item) for item in arguments), _name(annotation))
        return self._of_class(origin, () if origin is collections.abc.Callable else arguments)

    def _of_class(self, cls: Any, arguments: tuple[Any, ...]) -> Shape:
        if cls in _PLAIN:
            return _PLAIN[cls]
        name = _name(cls[arguments] if arguments else cls)
        if cls in _LISTS:
            return containers.sequence(list, (list, tuple), self._argument(arguments, 0), name)
        if cls in _SETS:
            return containers.sequence(set, (set, frozenset), self._argument(arguments, 0), name)
        if cls is frozenset:
            return containers.sequence(frozenset, (set, frozenset), self._argument(arguments, 0), name)
        if cls in _DICTS:
            made = collections.OrderedDict if cls is collections.OrderedDict else dict
            return containers.mapping(made, self._argument(arguments, 0), self._argument(arguments, 1), name)
        if (known := self._known.get((cls, arguments))) is not None:
            return known
        shape = self._known[cls, arguments] = Shape(name)
        try:
            self._fill(shape, cls, arguments)
        except _Unstorable as error:
            del self._known[cls, arguments]  # so that it is reported wherever it stands
            self._problem(f"{name} cannot be stored: {error}")
            return anything()
        return shape

    def _fill(self, shape: Shape, cls: Any, arguments: tuple[Any, ...]) -> None:
        """Makes `shape` that of `cls`. Raises `_Unstorable` for a class of which nothing is known."""
        if not isinstance(cls, type) or cls is collections.abc.Callable:
            raise _Unstorable(_HINT)
        if issubclass(cls, Enum):
            self._check_members(cls)
            classes.enumeration(shape, cls)
        elif hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_validate"):
            shape.wire = None if getattr(cls, "__pydantic_root_model__", False) else frozenset({dict})
            classes.pydantic_model(shape, cls)
        elif dataclasses.is_dataclass(cls):
            shape.wire = frozenset({dict})
            classes.dataclass(shape, cls, self._fields(cls, arguments, _constructor_fields(cls)))
        elif typing.is_typeddict(cls):
            shape.wire = frozenset({dict})
            hints = self._hints(cls)
            fields = self._fields(cls, arguments, hints)
            classes.typed_dict(shape, fields, _required_keys(cls, hints))
        elif issubclass(cls, tuple) and (names := getattr(cls, "_fields", None)) is not None:
            shape.wire = frozenset({tuple})
            classes.named_tuple(shape, cls, self._fields(cls, arguments, names))
        elif issubclass(cls, PurePath):
            self._take_over(shape, wrapped(cls, str, str))
        elif (base := next((base for base in (str, int, float, bytes) if issubclass(cls, base)), None)) is not None:
            self._take_over(shape, wrapped(cls, base, base))
        elif getattr(cls, "_is_protocol", False) or inspect.isabstract(cls):
            # They name what a value can do, not what it is: the codec looks at the value.
            self._take_over(shape, anything())
        else:
            raise _Unstorable(_HINT)

    def _take_over(self, shape: Shape, other: Shape) -> None:
        for part in Shape.__slots__:
            if part != "name":
                setattr(shape, part, getattr(other, part))

    def _fields(self, cls: type, arguments: tuple[Any, ...], names: Any) -> dict[str, Shape]:
        hints = self._hints(cls)
        parameters = getattr(cls, "__parameters__", ())
        given = dict(zip(parameters, arguments, strict=False))
        where = self._where
        fields: dict[str, Shape] = {}
        for name in names:
            self._where = f"{where}, field {cls.__name__}.{name}"
            fields[name] = self.of(_substituted(hints.get(name, Any), given))
        self._where = where
        return fields

    def _hints(self, cls: type) -> dict[str, Any]:
        try:
            return typing.get_type_hints(cls, localns=dict(self._scope.local), include_extras=True)
        except Exception as error:  # as in `read`
            self._problem(f"the annotations of {cls.__name__} cannot be resolved ({type(error).__name__}: {error})")
            return {}

    def _argument(self, arguments: tuple[Any, ...], index: int) -> Shape:
        return self.of(arguments[index]) if index < len(arguments) else anything()

    def _check_members(self, cls: type[Enum]) -> None:
        for member in cls:
            if type(member.value) not in _STORED_VALUES:
                kind = type(member.value).__name__
                self._problem(f"{cls.__name__}.{member.name} has a value of type {kind}, which cannot be stored")

    def _problem(self, text: str) -> None:
        self.problems.append(f"{self._where}: {' '.join(text.split())}")


class _Unstorable(Exception):
    """A class cannot be stored; the text says why, or what to use."""


_HINT = "use a dataclass, Enum, NamedTuple, TypedDict, pydantic model or plain types"
_MODULES = re.compile(r"(?:[\w<>]+\.)+(?=\w)")
_STORED_VALUES = frozenset({*_PLAIN, tuple, list, dict, set, frozenset}) - {bytearray}


def _constructor_fields(cls: Any) -> list[str]:
    """The fields that make a dataclass again. Raises `_Unstorable` if they do not."""
    taken = signature_of(cls).parameters.keys()
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    if odd := taken ^ set(fields):
        raise _Unstorable(f"its constructor and its fields differ in {', '.join(sorted(odd))}")
    return fields


def _required_keys(cls: Any, hints: dict[str, Any]) -> frozenset[str]:
    # __required_keys__ does not see Required and NotRequired where annotations are kept as text.
    required = set(cls.__required_keys__)
    for name, hint in hints.items():
        if typing.get_origin(hint) is typing.NotRequired:
            required.discard(name)
        elif typing.get_origin(hint) is typing.Required:
            required.add(name)
    return frozenset(required)


def _substituted(hint: Any, given: dict[Any, Any]) -> Any:
    """`hint` with the type variables of a generic class replaced: `T` of `Box[int]`."""
    if not given:
        return hint
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(one, one) for one in parameters)] if parameters else hint


def _aware(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("a naive datetime")
    return value


def _name(annotation: Any) -> str:
    """An annotation as users write it."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return _MODULES.sub("", str(annotation))
