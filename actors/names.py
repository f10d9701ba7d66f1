"""Which names jobs and queues may have."""

from __future__ import annotations

from ..kernel.errors import CallboardError

MAX_NAME_CHARS = 128


class InvalidName(CallboardError, ValueError):
    """A name that no job or queue may have."""


def validate_name(name: str) -> str:
    """`name` if a job may be called so; raises `InvalidName`, one line, if not."""
    return _validate(name, "job name")


def validate_queue(name: str) -> str:
    """`name` if a queue may be called so; raises `InvalidName`, one line, if not."""
    return _validate(name, "queue name")


def _validate(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidName(f"{what}: expected text; found {type(name).__name__}")
    shown = ascii(name if len(name) <= 40 else name[:40] + "...")
    if not name:
        raise InvalidName(f"{what}: expected 1 to {MAX_NAME_CHARS} characters; found none")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidName(f"{what} {shown}: expected at most {MAX_NAME_CHARS} characters; found {len(name)}")
    if name.startswith(("callboard.", "_")):
        raise InvalidName(f'{what} {shown}: names that begin with "callboard." or "_" are reserved; choose another')
    if "/" in name or not name.isprintable() or any(char.isspace() for char in name):
        raise InvalidName(f'{what} {shown}: expected no "/", no blanks and no control characters; choose another')
    return str(name)
