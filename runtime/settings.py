"""A node's settings: composed once, from the call, the environment, a file and the defaults, in this order.

`_SPECS` is the one table of what can be set; reading the environment, the file and the call all follow it, so that a
setting is added in one place. Every problem of every source is gathered before anything is raised.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Never

from ..kernel.durations import Duration, InvalidDuration, seconds
from ..kernel.errors import CallboardError

ENVIRONMENT_PREFIX = "CALLBOARD_"
_NOT_SETTINGS = ("STORE", "CONFIG")  # variables with this prefix that name other things
_NOT_SETTINGS_PREFIX = "TEST_"


class InvalidSettings(CallboardError, ValueError):
    """Settings cannot be used; `problems` holds one line for each of them. Nothing was started."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        head = "a setting" if len(problems) == 1 else f"{len(problems)} settings"
        super().__init__(f"{head} cannot be used: " + "; ".join(problems))


@dataclass(frozen=True, slots=True, init=False)
class Settings:
    """What a node goes by. Durations are given as float seconds, timedelta or "30s", and read as seconds.

    A setting that is left out is taken from the environment, the file or the default when the runtime composes them.
    Raises `InvalidSettings`, naming every problem of the call.
    """

    lease_s: float  # how long a claimed job stays its node's without a heartbeat; default 30 s
    leader_lease_s: float  # how long a role stays its holder's without a renewal; default 10 s
    grace_s: float  # how long a draining node lets jobs run before it interrupts them; default 20 s
    max_crashes: int  # lost leases after which a job ends as failed(poison); default 5
    retention_s: float  # how long ended jobs are kept; default 24 h
    slots: int  # jobs that a queue runs at once on a node, where nothing else is said; default 10
    poll_s: float  # the longest a dispatcher goes without looking, should a wake-up be lost; default 1 s
    disk_reserve_bytes: int  # free room below which enqueue is refused; default 16 MiB
    given: frozenset[str] = field(repr=False, compare=False)  # names that the call set itself

    def __init__(
        self,
        *,
        lease: Duration | None = None,
        leader_lease: Duration | None = None,
        grace: Duration | None = None,
        max_crashes: int | None = None,
        retention: Duration | None = None,
        slots: int | None = None,
        poll: Duration | None = None,
        disk_reserve: int | str | None = None,
        **unknown: Never,
    ) -> None:
        call = {
            "lease": lease,
            "leader_lease": leader_lease,
            "grace": grace,
            "max_crashes": max_crashes,
            "retention": retention,
            "slots": slots,
            "poll": poll,
            "disk_reserve": disk_reserve,
            **unknown,
        }
        problems: list[str] = []
        values = _read_mapping({name: value for name, value in call.items() if value is not None}, "", problems)
        _compose(self, values, frozenset(values), problems)

    def as_given(self) -> dict[str, float | int]:
        """What the call set itself, by setting name, in seconds, bytes and counts."""
        return {name: getattr(self, _SPECS[name].attribute) for name in sorted(self.given)}


def load_settings(
    call: Settings | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | Path | None = None,
) -> Settings:
    """Settings composed in the order `overrides` (a command's options), `call`, environment, file, default.

    `environ` defaults to the process's own; `config` is a TOML file, by default the one that CALLBOARD_CONFIG names,
    else none. Raises `InvalidSettings` with every problem of all sources, also of values that another source covers.
    """
    if not isinstance(call, Settings | None):
        raise InvalidSettings([f"settings: expected Settings(...), found {type(call).__name__}"])
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    path = config or environ.get(ENVIRONMENT_PREFIX + "CONFIG") or None
    layers = [
        _read_file(Path(path), problems) if path is not None else {},
        _read_environment(environ, problems),
        call.as_given() if call is not None else {},
        _read_mapping(overrides or {}, "--", problems),
    ]
    values: dict[str, float | int] = {}
    for layer in layers:
        values.update(layer)
    settings = object.__new__(Settings)
    _compose(settings, values, frozenset(layers[2].keys() | layers[3].keys()), problems)
    return settings


@dataclass(frozen=True, slots=True)
class _Spec:
    attribute: str  # of Settings
    read: Callable[[object], float | int]  # raises ValueError: what was expected
    default: float | int
    least: float | int
    most: float | int


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)  # variables and command options are text, where seconds may stand without a unit
    if isinstance(value, str | timedelta):
        with suppress(InvalidDuration):
            return seconds(value)
    raise ValueError('a duration such as "30s", "5m", "1h" or a number of seconds')


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a whole number")


def _bytes(value: object) -> int:
    if isinstance(value, str):
        number = value.strip().rstrip("kKMGiB")
        unit = value.strip()[len(number) :]
        if number.strip().isdecimal() and unit in _BYTES:
            return int(number) * _BYTES[unit]
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError('a size such as "16MiB" or a number of bytes')


_BYTES: Mapping[str, int] = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_DAY = 86400.0
_SPECS: Mapping[str, _Spec] = {
    "lease": _Spec("lease_s", _seconds, 30.0, 1.0, _DAY),
    "leader_lease": _Spec("leader_lease_s", _seconds, 10.0, 1.0, _DAY),
    "grace": _Spec("grace_s", _seconds, 20.0, 0.0, _DAY),
    "max_crashes": _Spec("max_crashes", _count, 5, 1, 1_000_000),
    "retention": _Spec("retention_s", _seconds, _DAY, 0.0, 3650 * _DAY),
    "slots": _Spec("slots", _count, 10, 1, 10_000),
    "poll": _Spec("poll_s", _seconds, 1.0, 0.01, 60.0),
    "disk_reserve": _Spec("disk_reserve_bytes", _bytes, 16 * 1024 * 1024, 0, 2**50),
}


def _compose(settings: Settings, values: Mapping[str, float | int], given: frozenset[str], problems: list[str]) -> None:
    if problems:
        raise InvalidSettings(problems)
    for name, spec in _SPECS.items():
        object.__setattr__(settings, spec.attribute, values.get(name, spec.default))
    object.__setattr__(settings, "given", given)


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, float | int]:
    """Variables that are set but empty count as left out, as process managers write them."""
    found: dict[str, object] = {}
    for variable in sorted(environ):
        short = variable.removeprefix(ENVIRONMENT_PREFIX)
        text = environ[variable]
        if short == variable or short in _NOT_SETTINGS or short.startswith(_NOT_SETTINGS_PREFIX) or not text:
            continue
        if short.upper() != short or short.lower() not in _SPECS:
            problems.append(_unknown(variable, short, ENVIRONMENT_PREFIX, upper=True))
        else:
            found[short.lower()] = int(text) if text.strip().isdecimal() else text
    return _read_values(found, lambda name: ENVIRONMENT_PREFIX + name.upper(), problems)


def _read_file(path: Path, problems: list[str]) -> dict[str, float | int]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        problems.append(f"{path}: expected a readable TOML file, found: {exc.strerror or exc}")
    except UnicodeDecodeError as exc:
        problems.append(f"{path}: expected a TOML file in UTF-8, found another encoding at byte {exc.start}")
    except tomllib.TOMLDecodeError as exc:
        problems.append(f"{path}: expected TOML, found: {exc}")
    else:
        return _read_mapping(table, f"{path}: ", problems)
    return {}


def _read_mapping(table: Mapping[str, object], prefix: str, problems: list[str]) -> dict[str, float | int]:
    for name in sorted(table.keys() - _SPECS.keys()):
        problems.append(_unknown(prefix + name, name, ""))
    known = {name: table[name] for name in _SPECS if name in table}
    return _read_values(known, lambda name: prefix + name, problems)


def _read_values(
    found: Mapping[str, object], label: Callable[[str], str], problems: list[str]
) -> dict[str, float | int]:
    values: dict[str, float | int] = {}
    for name, raw in found.items():
        spec = _SPECS[name]
        try:
            value = spec.read(raw)
        except ValueError as exc:
            problems.append(f"{label(name)}: expected {exc}, found {_shown(raw)}")
            continue
        if not spec.least <= value <= spec.most:  # also refuses nan
            unit = " s" if spec.read is _seconds else ""
            problems.append(
                f"{label(name)}: expected {_plain(spec.least)}{unit} to {_plain(spec.most)}{unit}, found {_shown(raw)}"
            )
            continue
        values[name] = value
    return values


def _unknown(label: str, name: str, prefix: str, *, upper: bool = False) -> str:
    if name.lower() in ("store", "config"):
        return f"{label}: no setting of this name here; use --{name.lower()} or CALLBOARD_{name.upper()}"
    near = get_close_matches(name.lower(), _SPECS, n=1)
    if near:
        return f"{label}: no such setting, did you mean {prefix}{near[0].upper() if upper else near[0]}?"
    names = ", ".join(prefix + (known.upper() if upper else known) for known in _SPECS)
    return f"{label}: no such setting; there are {names}"


def _shown(raw: object) -> str:
    return repr(raw) if isinstance(raw, str | int | float | timedelta) else f"a {type(raw).__name__}"


def _plain(number: float | int) -> str:
    return str(number) if isinstance(number, int) else f"{number:.10g}"
