"""What a signature comes to, worked out once: the shape of each parameter, and which types need no second look."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernel.codec import SCALARS
from .outcome import Cancel, Discard, RetryAfter, Snooze
from .shape import Shape
from .shapes import Shapes
from .signature import Signature

_NO_TYPES: frozenset[type] = frozenset()
_ANSWERS = (Snooze, Cancel, Discard, RetryAfter)


@dataclass(frozen=True, slots=True)
class Plan:
    """A signature, worked out."""

    names: tuple[str, ...]  # of positional parameters, in order
    places: Mapping[str, int]  # of those, by name
    positional: tuple[Shape, ...]
    usual: list[type] | None  # types of all positional arguments of a call that needs no second look, if one is usual
    fast: tuple[frozenset[type], ...]  # per positional parameter: types that need no second look
    keyword: Mapping[str, Shape]  # every parameter that may be given by name
    fast_keyword: Mapping[str, frozenset[type]]
    least: int  # so many positional arguments leave no required one open
    required_by_name: frozenset[str]  # keyword-only without default
    rest: Shape | None  # *args
    rest_name: str
    extra: Shape | None  # **kwargs
    result: Shape
    problems: tuple[str, ...]

    @classmethod
    def of(cls, signature: Signature) -> Plan:
        """The plan of a signature; what cannot work in it is in `problems`."""
        shapes = Shapes(signature.scope)
        parameters = list(signature.call.parameters.values())
        read = {one.name: shapes.read(one.annotation, f"parameter {one.name!r}") for one in parameters}
        positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        by_name = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        rest = next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), None)
        extra = next((one.name for one in parameters if one.kind is one.VAR_KEYWORD), None)
        result = shapes.read(_without_answers(signature), "result")
        return cls(
            names=tuple(one.name for one in positional),
            places={one.name: place for place, one in enumerate(positional)},
            positional=tuple(read[one.name] for one in positional),
            usual=_usual(positional, by_name, read),
            fast=tuple(read[one.name].same & SCALARS for one in positional),
            keyword={one.name: read[one.name] for one in by_name},
            fast_keyword={one.name: read[one.name].same & SCALARS for one in by_name},
            least=sum(one.default is one.empty for one in positional),
            required_by_name=frozenset(
                one.name for one in by_name if one.kind is one.KEYWORD_ONLY and one.default is one.empty
            ),
            rest=read[rest] if rest else None,
            rest_name=rest or "",
            extra=read[extra] if extra else None,
            result=result,
            problems=tuple(shapes.problems),
        )

    def is_fast(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """Whether the arguments fit and are stored as they are."""
        if not kwargs and [*map(type, args)] == self.usual:  # the quickest of all ways to say yes
            return True
        count = len(args)
        if count > len(self.fast):
            return False
        for value, exact in zip(args, self.fast, strict=False):
            if type(value) not in exact:
                return False
        for name in self.names[count : self.least]:
            if name not in kwargs:
                return False
        for name, value in kwargs.items():
            if type(value) not in self.fast_keyword.get(name, _NO_TYPES) or self.places.get(name, count) < count:
                return False
        return self.required_by_name <= kwargs.keys()

    def shape(self, key: int | str) -> Shape:
        """The shape of a positional argument, by its index, or of one given by name. The call has been bound."""
        if isinstance(key, int):
            shape = self.positional[key] if key < len(self.positional) else self.rest
        else:
            shape = self.keyword.get(key) or self.extra
        assert shape is not None
        return shape

    def label(self, key: int | str) -> str:
        """What an argument is called in errors."""
        if isinstance(key, str):
            return key
        return self.names[key] if key < len(self.names) else f"{self.rest_name}[{key - len(self.names)}]"


def shown(signature: inspect.Signature) -> str:
    """A signature on one line of bounded length, without the values of defaults: they may be secrets."""
    parameters = [
        one.replace(
            annotation=_Bare(one.annotation) if isinstance(one.annotation, str) else one.annotation,
            default=one.empty if one.default is one.empty else _Bare("..."),
        )
        for one in signature.parameters.values()
    ]
    bare = signature.replace(parameters=parameters, return_annotation=signature.empty)
    shown = " ".join(str(bare).split())
    return shown if len(shown) <= 200 else shown[:197] + "..."


class _Bare(str):
    """Text that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _usual(
    positional: list[inspect.Parameter], by_name: list[inspect.Parameter], read: Mapping[str, Shape]
) -> list[type] | None:
    if any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in by_name):
        return None
    usual = [read[one.name].usual for one in positional]
    return [kind for kind in usual if kind is not None] if None not in usual else None


def _without_answers(signature: Signature) -> Any:
    """The return annotation without what a handler may answer instead of a value."""
    annotation = signature.call.return_annotation
    if annotation is inspect.Signature.empty:
        return annotation
    try:
        annotation = signature.scope.resolve(annotation)
    except Exception:  # reported where the annotation is read
        return annotation
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return typing.Any if annotation in _ANSWERS else annotation
    kept = tuple(one for one in typing.get_args(annotation) if one not in _ANSWERS)
    return typing.Union[kept] if kept else typing.Any  # noqa: UP007  # built from a tuple
