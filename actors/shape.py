"""A shape: both ways between values of one annotation and what the codec stores. Built once, called per value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernel.codec import SCALARS

Convert = Callable[[Any], Any]


class Misfit(Exception):
    """A value does not fit its annotation. `where` leads to it from the outside. Never seen outside this room."""

    def __init__(self, expected: str, value: object, where: str = "") -> None:
        super().__init__(expected, where)
        self.expected = expected
        self.found = type(value).__name__
        self.where = where

    def inside(self, step: str) -> Misfit:
        """This misfit, met one container further in."""
        self.where = step + self.where
        return self

    def __str__(self) -> str:
        return f"expected {self.expected}; found {self.found}"


class Shape:
    """One annotation. `lower` and `restore` raise `Misfit` for what does not fit.

    `restore` also takes what JSON would bring (text for a UUID, a list for a tuple), since jobs are enqueued by name
    too. Filled in after it was made, since annotations can contain themselves.
    """

    __slots__ = ("lower", "name", "restore", "same", "usual", "wire")

    def __init__(self, name: str) -> None:
        self.name = name  # as users write it, for errors
        self.same: frozenset[type] = frozenset()  # exact types of values that both ways leave as they are
        self.usual: type | None = None  # the one of `same` to be expected, if it is a scalar
        self.wire: frozenset[type] | None = None  # exact types of what `lower` gives; None: anything
        self.lower: Convert = _same
        self.restore: Convert = _same

    @property
    def is_transparent(self) -> bool:
        """Whether stored and annotated values are one and the same."""
        return self.wire is not None and self.wire <= self.same


def _same(value: Any) -> Any:
    return value


def anything() -> Shape:
    """No annotation, `Any` or `object`: whatever the codec takes."""
    shape = Shape("Any")
    shape.same = SCALARS
    return shape


def transparent(kind: type, *exact: type, name: str | None = None) -> Shape:
    """A type that is stored as it is; `exact` are the types that may stand for it, itself if not given."""
    shape = Shape(name or kind.__name__)
    shape.same = shape.wire = frozenset(exact or (kind,))
    shape.usual = kind
    accepted = tuple(shape.same)

    def lower(value: Any) -> Any:
        if type(value) in shape.same:
            return value
        if isinstance(value, accepted):  # a subclass, such as a member of an IntEnum: stored as its base
            return next(base for base in accepted if isinstance(value, base))(_bare(value))
        raise Misfit(shape.name, value)

    def restore(value: Any) -> Any:
        if type(value) in shape.same:
            return value
        raise Misfit(shape.name, value)

    shape.lower, shape.restore = lower, restore
    return shape


def _bare(value: Any) -> Any:
    # str() of a StrEnum member is its value, but str() of a member of `class C(str, Enum)` is "C.NAME".
    return str.__str__(value) if isinstance(value, str) else value


def atom(kind: type, parse: Convert, *sources: type) -> Shape:
    """A type that the codec itself knows; from JSON it is read by `parse`, if the value is one of `sources`."""
    shape = Shape(kind.__name__)
    shape.same = shape.wire = frozenset({kind})

    def lower(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise Misfit(shape.name, value)

    def restore(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if type(value) in sources:
            try:
                return parse(value)
            except (ValueError, ArithmeticError):  # said below
                pass
        raise Misfit(shape.name, value)

    shape.lower, shape.restore = lower, restore
    return shape


def wrapped(kind: type, base: type, unwrap: Convert) -> Shape:
    """A class over one plain value: `class UserId(int)`, `Path`. Stored as `base`, restored by calling the class."""
    shape = Shape(kind.__name__)
    shape.wire = frozenset({base})

    def lower(value: Any) -> Any:
        if isinstance(value, kind):
            return unwrap(value)
        raise Misfit(shape.name, value)

    def restore(value: Any) -> Any:
        if type(value) is base:
            try:
                return kind(value)
            except Exception:  # a class may refuse with whatever it likes; said below
                pass
        raise Misfit(shape.name, value)

    shape.lower, shape.restore = lower, restore
    return shape
