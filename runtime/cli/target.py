"""MODULE:RUNTIME on a command line -> the Runtime it names.

The current directory is put on the import path, as `python -m` does. Importing runs the user's code: whatever it
raises becomes one line with the exception and the place, since the fault is not in the command.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .failures import WrongUse

if TYPE_CHECKING:
    from ..runtime import Runtime

_EXPECTED = 'expected MODULE:RUNTIME, such as "service:runtime" for `runtime = Runtime(...)` in service.py'

_PACKAGE = Path(__file__).parents[2]
_ROOMS = tuple(str(_PACKAGE / room) + os.sep for room in ("kernel", "storage", "actors", "runtime"))
_NOT_THE_USERS = (*_ROOMS, sys.prefix + os.sep, sys.base_prefix + os.sep)


def load_runtime(target: str) -> Runtime:
    """The Runtime that `target` names. Raises `WrongUse`."""
    from ..runtime import Runtime

    module_name, path = _split(target)
    module = _import(module_name)
    found: object = module
    walked = module_name
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise WrongUse(f"{walked} has no attribute {name!r}{_hint(module, name)}") from None
        walked += f".{name}" if walked != module_name else f":{name}"
    if not isinstance(found, Runtime):
        raise WrongUse(f"{target} is of type {type(found).__name__}, expected a callboard.Runtime{_hint(module, '')}")
    return found


def _split(target: str) -> tuple[str, str]:
    module_name, _, path = target.partition(":")
    if module_name.endswith(".py") or os.sep in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace(os.sep, ".")
        raise WrongUse(f"{_EXPECTED}; found a path in {target!r}, did you mean {dotted}:{path or 'runtime'}?")
    if not path or not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise WrongUse(f"{_EXPECTED}; found {target!r}")
    return module_name, path


def _import(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            raise WrongUse(f"no module named {exc.name!r} in {here} or on the Python path") from None
        raise _raised(name, exc) from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a module may also leave by SystemExit
        raise _raised(name, exc) from exc


def _raised(name: str, exc: BaseException) -> WrongUse:
    said = traceback.format_exception_only(exc)[-1]
    return WrongUse(f"module {name} raised at import: {said.strip()} ({_place(exc)})")


def _place(exc: BaseException) -> str:
    """file:line of the innermost frame in the user's own code: not in Callboard, Python or an installed package."""
    if isinstance(exc, SyntaxError) and exc.filename is not None:
        return f"{exc.filename}:{exc.lineno}"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    place = (own or frames)[-1:]
    return f"{place[0].filename}:{place[0].lineno}" if place else "before its first line"


def _hint(module: ModuleType, name: str) -> str:
    """What else the module offers."""
    from ..runtime import Runtime

    runtimes = sorted(key for key, value in vars(module).items() if isinstance(value, Runtime))
    if runtimes:
        return f"; it holds the Runtime{'s' if len(runtimes) > 1 else ''} {', '.join(runtimes)}"
    near = get_close_matches(name, vars(module), n=1)
    return f"; did you mean {near[0]!r}?" if near else "; it holds no Runtime"
