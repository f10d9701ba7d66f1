"""Names and calls that are not used here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.house.tree import ROOMS, Module, modules

MAX_LINES = 350
MAX_PUBLIC_NAMES = 40
NAMES_THAT_EXPLAIN_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

UNSAFE = ("pickle", "marshal", "shelve", "dill", "cloudpickle", "eval", "exec")

# Read through a Clock or an injected random.Random only: the simulation owns both.
CLOCKS_AND_CHANCE = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
    "secrets",
    "random",
)
HARMLESS = ("random.Random",)
# File or folder -> what it may use nevertheless, and why.
EXCEPTIONS = {
    "kernel/clock.py": (("time.monotonic", "time.time_ns"), "it is the clock"),
    "runtime/environment.py": (("os.urandom",), "it composes a node and hands the source of chance down"),
    "storage/redis/driver.py": (("os.urandom",), "no two stores and no two handles may be taken for one"),
    "storage/sqlite/connection.py": (("time.sleep",), "a thread without a loop waits for a locked file to open"),
    "storage/sqlite/turns.py": (("time.sleep",), "the writing thread, without a loop, waits for another process"),
    "storage/sqlite/sockets.py": (
        ("time.time_ns", "uuid.uuid4"),
        "a folder's time of change is the machine's, and no two processes may take one file name",
    ),
}


def modules_stay_small(root: Path) -> list[str]:
    return [
        f"{module.path} has {count} lines, at most {MAX_LINES}: split it by verb"
        for module in modules(root)
        if (count := len(module.source.splitlines())) > MAX_LINES
    ]


def names_explain(root: Path) -> list[str]:
    """No file or folder has a name under which anything could stand."""
    problems = []
    for top in (*ROOMS, "tests", "bench", "examples"):
        for path in sorted((root / top).rglob("*")):
            if path.stem in NAMES_THAT_EXPLAIN_NOTHING and (path.is_dir() or path.suffix == ".py"):
                problems.append(f"{path.relative_to(root)}: name it after what it does")
    return problems


def no_unsafe_code(root: Path) -> list[str]:
    """No pickle, no eval: what comes from a store is data."""
    return [
        f"{module.path}:{line} uses {name}"
        for module in modules(root)
        for line, name in _used(module)
        if _matches(name, UNSAFE)
    ]


def time_and_chance_are_handed_in(root: Path) -> list[str]:
    """The product reads no clock and rolls no dice but those it was given."""
    problems = []
    for module in modules(root):
        allowed = [name for place, (names, _) in EXCEPTIONS.items() if module.within(place) for name in names]
        for line, name in _used(module):
            if _matches(name, CLOCKS_AND_CHANCE) and not _matches(name, HARMLESS) and name not in allowed:
                problems.append(f"{module.path}:{line} uses {name}: take it from the Clock or the Random handed in")
    return problems


def exceptions_are_needed(root: Path) -> list[str]:
    """An exception that is no longer used would hide the next mistake."""
    all_modules = modules(root)
    problems = []
    for place, (names, _) in EXCEPTIONS.items():
        used = {name for module in all_modules if module.within(place) for _, name in _used(module)}
        if (root / place).exists():
            problems += [
                f"{place} no longer uses {name}: take it out of EXCEPTIONS" for name in names if name not in used
            ]
    return problems


def public_names_are_few_and_sorted(root: Path) -> list[str]:
    """The root's `__all__` lists what it imports for users, sorted, at most 40 names."""
    syntax = ast.parse((root / "__init__.py").read_text(encoding="utf-8"))
    listed: list[str] | None = None
    imported: set[str] = set()
    for node in syntax.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = list(ast.literal_eval(node.value))
        elif isinstance(node, ast.ImportFrom) and node.level:
            imported.update(alias.asname or alias.name for alias in node.names)
    if listed is None:
        return ["__init__.py imports names and has no __all__"] if imported else []
    problems = []
    if listed != sorted(set(listed)):
        problems.append("__all__ of __init__.py is not sorted, or names something twice")
    if len(listed) > MAX_PUBLIC_NAMES:
        problems.append(f"__all__ of __init__.py has {len(listed)} names, at most {MAX_PUBLIC_NAMES}")
    public = {name for name in imported if not name.startswith("_")}
    problems += [f"__init__.py imports {name} and leaves it out of __all__" for name in sorted(public - set(listed))]
    return problems


def _matches(name: str, names: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in names)


def _used(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, and of every use of an imported module's member or of a builtin.

    `import time as t; t.sleep` gives `time.sleep`; `import random` alone gives nothing, for `random.Random` may follow.
    """
    known = {"eval": "eval", "exec": "exec"}
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                if alias.name.split(".")[0] in UNSAFE:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Attribute) and (name := _dotted(node)) and name.split(".")[0] in known:
            head, _, rest = name.partition(".")
            yield node.lineno, f"{known[head]}.{rest}"
        elif isinstance(node, ast.Name) and node.id in ("eval", "exec"):
            yield node.lineno, node.id


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := _dotted(node.value)):
        return f"{head}.{node.attr}"
    return None
