"""Lengths of time as people write them: seconds as a number, a `timedelta`, or "30s", "5m", "1h", "1d"."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import CallboardError

Duration = float | timedelta | str

MAX_SECONDS = 100 * 366 * 86_400.0  # a century: beyond it wall-clock arithmetic in the stores would overflow

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_TEXT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_EXPECTED = 'expected seconds as a number, a timedelta, or text such as "30s", "5m", "1h", "1d"'


class InvalidDuration(CallboardError, ValueError):
    """A value is no length of time, or one that cannot be used: negative, not a number, beyond a century."""


def seconds(value: Duration, what: str = "duration") -> float:
    """`value` as seconds, zero or more; `what` names it in the error.

    Text is one number and one unit of ms, s, m, h, d. Raises `InvalidDuration` for anything else: a bool, text without
    a unit, negative, infinite or not a number, more than a century.
    """
    length = _read(value)
    if length is None:
        raise InvalidDuration(f"{what}: {_EXPECTED}; found {_shown(value)}")
    if math.isnan(length) or length < 0:
        raise InvalidDuration(f"{what}: expected zero or more; found {_shown(value)}")
    if length > MAX_SECONDS:
        raise InvalidDuration(f"{what}: expected at most a century; found {_shown(value)}")
    return length


def seconds_left(value: Duration, what: str = "duration") -> float:
    """As `seconds`, for what is left of a deadline: a number below zero counts as zero."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return 0.0
    return seconds(value, what)


def _read(value: object) -> float | None:
    if isinstance(value, bool):  # an int to Python, but never meant as seconds
        return None
    if isinstance(value, int):  # clamped, since a long int does not fit into a float
        return float(max(min(value, int(MAX_SECONDS) + 1), -1))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        return float(match[1]) * _UNITS[match[2]]
    return None


def _shown(value: object) -> str:
    """A short form of what was given, on one line."""
    if isinstance(value, str):
        return repr(value[:40]) + ("..." if len(value) > 40 else "")
    if isinstance(value, (bool, float, timedelta)) or (isinstance(value, int) and abs(value) < 10**18):
        return repr(value)
    return f"an object of type {type(value).__name__}"
