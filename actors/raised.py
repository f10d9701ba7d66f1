"""An exception of another process: told in plain values there, made again here as far as that goes.

No pickle: a class may not be importable here, may want other arguments than it keeps, or hold what cannot be copied,
and an attempt's error must not be lost over that. What is made again is of the same class, or of its nearest base that
this process knows, so that a retry policy judges it alike; message and traceback are shown as they were told.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..kernel.codec import decode, encode
from ..storage.records import ErrorRecord
from .failures import as_described_elsewhere, describe

_MOST_BYTES = 64 * 1024  # of arguments and of attributes; beyond it they are left out


def told(error: BaseException) -> list[Any]:
    """`error` as values that the codec takes: its classes by name, what can be kept of it, how it is described."""
    classes = [f"{cls.__module__}:{cls.__qualname__}" for cls in type(error).__mro__ if issubclass(cls, BaseException)]
    record = describe(error)
    attributes = {name: _kept(value) for name, value in vars(error).items() if isinstance(name, str)}
    return [
        classes,
        [_kept(value) for value in error.args],
        {name: value for name, value in attributes.items() if value is not None},
        [record.kind, record.message, record.traceback],
    ]


def remade(
    classes: Sequence[str], args: Sequence[bytes | None], attributes: dict[str, bytes], record: Sequence[str]
) -> BaseException:
    """The exception that was `told`. Never raises."""
    cls = next((found for found in map(_known, classes) if found is not None), Exception)
    values = tuple(decode(value) if value is not None else "(not kept)" for value in args)
    error = _instance(cls, values)
    vars(error).update({name: decode(value) for name, value in attributes.items()})
    return as_described_elsewhere(error, ErrorRecord(*record))


def _kept(value: object) -> bytes | None:
    try:
        encoded = encode(value)
    except Exception:  # whatever a user's object does when it is looked at
        return None
    return encoded if len(encoded) <= _MOST_BYTES else None


def _known(reference: str) -> type[BaseException] | None:
    """The class of that name, if its module is loaded here; nothing is imported for it."""
    module, _, path = reference.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _instance(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    if cls.__module__ == "builtins":  # some keep what they were made with in places of their own, such as OSError
        try:
            return cls(*args)
        except Exception:
            cls = Exception if issubclass(cls, Exception) else BaseException
    try:
        error = cls.__new__(cls, *args)  # not its __init__, which may want something else than its args
    except Exception:
        error = Exception()
    error.args = args
    return error
