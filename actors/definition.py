"""A job as it is defined: a name, a handler, and what is to be done with it.

Everything that can be worked out from the handler's signature is worked out once: what it takes (`signature.py`), how
each annotation is stored and restored (`shapes.py`), both ways of a call (`calls.py`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..kernel.durations import Duration, seconds
from ..kernel.errors import CallboardError
from .call_errors import BadArguments, PayloadTooLarge, ResultNotStorable, ResultTooLarge
from .calls import Calls, encode_anonymous, read_call
from .names import InvalidName, validate_name, validate_queue
from .retry import Retry
from .signature import ContextMarker, InvalidDefinition, Kind, Signature, read_signature

__all__ = [
    "BadArguments",
    "ContextMarker",
    "Handler",
    "HandlerNotFound",
    "InvalidDefinition",
    "InvalidName",
    "JobDefinition",
    "Kind",
    "PayloadTooLarge",
    "ResultNotStorable",
    "ResultTooLarge",
    "define",
    "encode_anonymous",
    "import_function",
    "read_call",
    "unreachable",
    "validate_name",
    "validate_queue",
]

HIGHEST_PRIORITY, LOWEST_PRIORITY, DEFAULT_PRIORITY = 0, 3, 2
_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class HandlerNotFound(CallboardError, ImportError):
    """A handler given as "package.module:function" cannot be imported. Retried by the policy, like any error."""


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A handler that is there to be called."""

    fn: Callable[..., Any]
    signature: Signature
    calls: Calls

    @property
    def kind(self) -> Kind:
        """How it runs: "async" on the loop, "thread", or "process"."""
        return self.signature.kind

    @property
    def wants_ctx(self) -> bool:
        """Whether its first argument is the context."""
        return self.signature.wants_ctx

    @property
    def reference(self) -> str:
        """ "package.module:function", by which `import_function` finds it in another process."""
        return f"{self.fn.__module__}:{self.fn.__qualname__}"


@dataclass(frozen=True, slots=True, eq=False)
class JobDefinition:
    """One kind of job. Make it with `define`, which checks all of it."""

    name: str
    queue: str
    target: Callable[..., Any] | str  # the handler, or "package.module:function", imported when first run
    retry: Retry
    timeout_s: float | None  # of one attempt; None: no limit
    priority: int  # 0 urgent to 3 low
    process: bool  # a plain def in a process of its own rather than in a thread
    localns: Mapping[str, object] = field(default_factory=dict, repr=False)  # besides the module, for annotations
    _handler: Handler | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            self._adopt(self.target)

    def handler(self) -> Handler:
        """The handler, imported if it was given as text and this is the first time.

        Raises `HandlerNotFound`, and `InvalidDefinition` if what was imported can be no handler.
        """
        if self._handler is not None:
            return self._handler
        assert isinstance(self.target, str)
        try:
            return self._adopt(import_function(self.target))
        except HandlerNotFound as error:
            raise HandlerNotFound(f"job {self.name!r}: {error}") from error.__cause__

    @property
    def is_loaded(self) -> bool:
        """Whether the handler is here; else `handler` imports it, which may take its time."""
        return self._handler is not None

    @property
    def fn(self) -> Callable[..., Any]:
        """The handler itself; see `handler`."""
        return self.handler().fn

    @property
    def kind(self) -> Kind:
        """How the handler runs; see `handler`."""
        return self.handler().kind

    @property
    def wants_ctx(self) -> bool:
        """Whether the handler's first argument is the context; see `handler`."""
        return self.handler().wants_ctx

    def encode_call(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        """The payload of a call, checked against the handler's signature.

        Raises `BadArguments` for arguments that do not fit, `NotStorable` naming the argument, `PayloadTooLarge` over
        256 KiB. A handler that has not been imported yet is not imported for this: then only what needs no signature is
        checked, and a misfit shows when the job is run.
        """
        handler = self._handler
        if handler is None:
            return encode_anonymous(self.name, args, kwargs)
        return handler.calls.encode(args, kwargs)

    def decode_call(self, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a payload, restored to the annotated types.

        Raises `Undecodable` for bytes that are no call and for arguments that do not fit the handler: either way no
        further attempt would help. Raises as `handler` where it is to be imported first.
        """
        return (self._handler or self.handler()).calls.decode(payload)

    def encode_result(self, value: object) -> bytes:
        """A result as bytes. Raises `ResultTooLarge` over 1 MiB, `ResultNotStorable` naming the part that cannot be."""
        return (self._handler or self.handler()).calls.encode_result(value)

    def decode_result(self, stored: bytes) -> Any:
        """A stored result, restored to the return annotation; as it is stored where it does not fit that.

        Raises `Undecodable`, and as `handler` where it is to be imported first.
        """
        return (self._handler or self.handler()).calls.decode_result(stored)

    def arguments(self, payload: bytes) -> dict[str, Any]:
        """The arguments of a payload by parameter name, restored. Raises as `decode_call`."""
        args, kwargs = self.decode_call(payload)
        return self.handler().calls.names(args, kwargs)

    def problems(self) -> list[str]:
        """What `callboard check` reports about this job, without a store, one line each; imports the handler."""
        try:
            handler = self.handler()
        except CallboardError as error:
            return [_one_line(error)]
        found = [f"job {self.name!r}, {problem}" for problem in handler.calls.problems]
        if handler.kind == "process" and (obstacle := unreachable(handler)):
            found.append(f"job {self.name!r}: process=True needs a function that can be imported; {obstacle}")
        return found

    def _adopt(self, fn: Callable[..., Any]) -> Handler:
        signature = read_signature(fn, process=self.process, localns=self.localns)
        handler = Handler(fn, signature, Calls(self.name, signature))
        object.__setattr__(self, "_handler", handler)
        return handler


def define(
    target: Callable[..., Any] | str,
    *,
    name: str | None = None,
    queue: str = "default",
    retry: Retry | None = None,
    timeout: Duration | None = None,
    priority: int = DEFAULT_PRIORITY,
    process: bool = False,
    localns: Mapping[str, object] | None = None,
) -> JobDefinition:
    """A checked definition; the name is the function's unless given.

    Raises `InvalidName`, `InvalidDuration` or `InvalidDefinition`, all ValueErrors, one line each.
    """
    if isinstance(getattr(target, "definition", None), JobDefinition):
        raise InvalidDefinition("a handler: expected a function; found a job already: decorate a function once")
    if isinstance(target, str) and not _REFERENCE.fullmatch(target):
        raise InvalidDefinition(f'a handler: expected a function or "package.module:function"; found {target[:80]!r}')
    name = validate_name(_default_name(target) if name is None else name)
    if retry is not None and not isinstance(retry, Retry):
        raise InvalidDefinition(f"job {name!r}: retry: expected a Retry; found {type(retry).__name__}")
    timeout_s = None if timeout is None else seconds(timeout, f"job {name!r}: timeout")
    if timeout_s == 0:
        raise InvalidDefinition(f"job {name!r}: timeout: expected more than zero, or None for no limit")
    return JobDefinition(
        name=name,
        queue=validate_queue(queue),
        target=target,
        retry=retry or Retry(),
        timeout_s=timeout_s,
        priority=validate_priority(priority, f"job {name!r}: "),
        process=process,
        localns=localns or {},
    )


def validate_priority(priority: int, of: str = "") -> int:
    """`priority` if it is one; raises `InvalidDefinition`, one line, if not."""
    if type(priority) is not int or not HIGHEST_PRIORITY <= priority <= LOWEST_PRIORITY:
        raise InvalidDefinition(f"{of}priority: expected 0 (urgent) to 3 (low); found {priority!r}")
    return priority


def import_function(reference: str) -> Callable[..., Any]:
    """The function at "package.module:function"; where a job has been made of it, the function behind the job.

    Raises `HandlerNotFound`, its cause what the import raised.
    """
    module_name, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module can raise anything while it is imported
        raise HandlerNotFound(f"cannot import {module_name!r} ({type(error).__name__}: {_one_line(error)})") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise HandlerNotFound(f"module {module_name!r} has no {path!r}; check the name after the colon") from None
    function = getattr(found, "fn", found)
    if not callable(function):
        raise HandlerNotFound(f"{reference!r} is no function but {type(found).__name__}")
    return function  # type: ignore[no-any-return]  # callable is all that can be known


def unreachable(handler: Handler) -> str | None:
    """Why another process could not import the handler, if so; one line."""
    name = getattr(handler.fn, "__qualname__", None)
    if name is None:
        return f"an object of type {type(handler.fn).__name__} has no name to import it by"
    if "<" in name:
        return f"{name} is defined inside another function: move it to the top of its module"
    try:
        found = import_function(handler.reference)
    except HandlerNotFound as error:
        return _one_line(error)
    return None if found is handler.fn else f"{handler.reference} is something else by now"


def _default_name(target: Callable[..., Any] | str) -> str:
    if isinstance(target, str):
        return target.partition(":")[2].rpartition(".")[2]
    name = getattr(target, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise InvalidDefinition(f"a handler without a name of its own ({type(target).__name__}): give name=")
    return name


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
