"""A handler's parameters: read once, when it is defined; their annotations resolved when first needed."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..kernel.errors import CallboardError

Kind = Literal["async", "thread", "process"]


class InvalidDefinition(CallboardError, ValueError):
    """A job is defined in a way that cannot work."""


class ContextMarker:
    """The base of `Ctx`, by which a handler's first parameter is known to want its context."""

    __slots__ = ()


class Scope(NamedTuple):
    """Where annotations given as text are looked up, when first needed: a class may follow its handler."""

    module: dict[str, Any]  # the live globals
    local: Mapping[str, object]

    def resolve(self, annotation: Any) -> Any:
        """`annotation` with all text in it evaluated, `Annotated` and the like taken off.

        Raises whatever evaluating it raises, as a rule NameError for a name that is only imported for type checkers.
        """

        class Holder:
            pass

        Holder.__annotations__ = {"it": annotation}
        return typing.get_type_hints(Holder, self.module, dict(self.local))["it"]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes from its caller: the context parameter is left out."""

    call: inspect.Signature  # without the context
    wants_ctx: bool
    kind: Kind
    scope: Scope


def read_signature(
    function: Callable[..., object], *, process: bool = False, localns: Mapping[str, object] | None = None
) -> Signature:
    """The signature of `function`. Raises `InvalidDefinition` for one that can be no handler."""
    if not callable(function):
        raise InvalidDefinition(f"a handler: expected a function; found {type(function).__name__}")
    if isinstance(function, type):
        raise InvalidDefinition(f"handler {function.__name__}: expected a function; found a class")
    kind = _kind(function, process)
    try:
        signature = signature_of(function)
    except (ValueError, TypeError):
        raise InvalidDefinition(
            f"handler {_name(function)}: its parameters cannot be read; wrap it in a function of your own"
        ) from None
    scope = Scope(getattr(inspect.unwrap(_innermost(function)), "__globals__", {}), localns or {})
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls") and _is_in_class(function):
        raise InvalidDefinition(
            f"handler {_name(function)}: {parameters[0].name!r} cannot be enqueued: make a job of a function, or of a "
            "method of an object, runtime.job(service.method)"
        )
    wants_ctx = bool(parameters) and _is_context(parameters[0], scope)
    if wants_ctx and kind == "process":
        raise InvalidDefinition(
            f"handler {_name(function)}: process=True runs where there is no context: leave "
            f"{parameters[0].name!r} out and pass what is needed as arguments, or leave process=True out"
        )
    if wants_ctx:
        signature = signature.replace(parameters=parameters[1:])
    return Signature(signature, wants_ctx, kind, scope)


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    """Its signature, the annotations as far as they can be evaluated by now."""
    if sys.version_info >= (3, 14):  # reading evaluates them: a class that is not there yet must not fail here
        formats = importlib.import_module("annotationlib").Format
        return inspect.signature(function, annotation_format=formats.FORWARDREF)
    return inspect.signature(function)


def _kind(function: Callable[..., object], process: bool) -> Kind:
    inner = _innermost(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidDefinition(f"handler {_name(function)}: a generator cannot be a handler; return a value instead")
    is_async = inspect.iscoroutinefunction(inner)
    if is_async and process:
        raise InvalidDefinition(
            f"handler {_name(function)}: process=True expects a plain def; found async def: write def, or leave it out"
        )
    if is_async:
        return "async"
    return "process" if process else "thread"


def _innermost(function: Callable[..., object]) -> Any:
    """The function that holds the code: behind partials, methods and objects with `__call__`."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    if not inspect.isroutine(inner):
        inner = getattr(type(inner).__call__, "__func__", type(inner).__call__)
    return inner


def _is_in_class(function: Callable[..., object]) -> bool:
    """Whether a plain function stands in the body of a class, where it will be called with an object first."""
    parent = getattr(function, "__qualname__", "").rpartition(".")[0]
    return inspect.isfunction(function) and parent != "" and not parent.endswith("<locals>")


def _is_context(first: inspect.Parameter, scope: Scope) -> bool:
    """The first parameter wants the context if annotated `Ctx`, or if called `ctx` and not annotated otherwise."""
    if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        return False
    annotation = first.annotation
    if annotation is first.empty:
        return first.name == "ctx"
    try:
        annotation = scope.resolve(annotation)
    except Exception:  # imported for type checkers only: its name has to do
        text = getattr(annotation, "__forward_arg__", annotation)
        return isinstance(text, str) and text.rpartition(".")[2] == "Ctx"
    if annotation is Any:
        return first.name == "ctx"
    return isinstance(annotation, type) and issubclass(annotation, ContextMarker)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
