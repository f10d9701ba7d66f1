"""Who may import whom."""

from __future__ import annotations

import sys
import tomllib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from tests.support.house.tree import ROOMS, STORES, Import, imports, modules

# A client of a database, and the only places that may import it.
CLIENTS = {
    "sqlite3": ("storage/sqlite",),
    "aiosqlite": ("storage/sqlite",),
    "asyncpg": ("storage/postgres",),
    "redis": ("storage/redis", "kernel/transport"),
    "hiredis": ("kernel/transport/redis_connection.py",),
}
KERNEL_LIBRARIES = ("anyio", "msgpack")
# Not required, used where the user has it.
OPTIONAL_LIBRARIES = {"pydantic"}
# Came to the standard library after 3.11.
STDLIB = {*sys.stdlib_module_names, "annotationlib"}


def no_import_upward(root: Path) -> list[str]:
    """A room imports only rooms below it; nothing imports the root's own modules but the root."""
    problems = []
    for found in _all(root):
        if found.inside is None:
            continue
        target = found.inside.parts[0]
        if target == "..":
            problems.append(f"{found.where} imports from outside the package")
        elif found.module.room is not None and ROOMS.get(target, 6) > found.module.storey:
            problems.append(f"{found.where}: {found.module.room} imports {found.inside}, which stands above it")
    return problems


def no_absolute_import_of_ourselves(root: Path) -> list[str]:
    """Inside, imports are relative: an absolute one would miss the storeys, `import runtime` the user's own package."""
    names = {"callboard", *ROOMS}
    return [
        f"{found.where} imports {found.outside}: write a relative import"
        for found in _all(root)
        if found.outside is not None and found.outside.split(".")[0] in names
    ]


def no_cycle(root: Path) -> list[str]:
    """No module imports itself through others, in functions either; what only type checkers read does not count."""
    graph: dict[str, set[str]] = {str(module.path): set() for module in modules(root)}
    for found in _all(root):
        if found.inside is not None and not found.for_types_only and str(found.inside) != str(found.module.path):
            graph[str(found.module.path)].add(str(found.inside))
    done: set[str] = set()
    problems: list[str] = []

    def visit(path: str, way: list[str]) -> None:
        if path in way:
            problems.append("imports in a circle: " + " -> ".join([*way[way.index(path) :], path]))
        elif path not in done:
            for target in sorted(graph.get(path, ())):
                visit(target, [*way, path])
            done.add(path)

    for path in graph:
        visit(path, [])
    return problems


def stores_and_actors_apart(root: Path) -> list[str]:
    """A store imports neither an actor nor another store; an actor imports no store."""
    problems = []
    for found in _all(root):
        if found.inside is None:
            continue
        from_store, to_store = _store_of(found.module.path), _store_of(found.inside)
        if from_store and _is_actor(found.inside):
            problems.append(f"{found.where}: a store imports an actor, {found.inside}")
        if to_store and _is_actor(found.module.path):
            problems.append(f"{found.where}: an actor imports a store, {found.inside}")
        if from_store and to_store and from_store != to_store:
            problems.append(f"{found.where}: the {from_store} store imports the {to_store} store")
    return problems


def clients_stay_in_their_store(root: Path) -> list[str]:
    """Only `storage/<name>/` imports the client of that database."""
    return [
        f"{found.where} imports {found.outside}, which belongs to {' and '.join(places)}"
        for found in _all(root)
        if (places := CLIENTS.get(_library(found))) and not any(found.module.within(place) for place in places)
    ]


def kernel_stays_small(root: Path) -> list[str]:
    """The kernel imports the standard library, anyio and msgpack (a transport may bring its client)."""
    allowed = {*STDLIB, *KERNEL_LIBRARIES}
    return [
        f"{found.where}: the kernel imports {found.outside}, not one of {', '.join(KERNEL_LIBRARIES)}"
        for found in _all(root)
        if found.module.room == "kernel"
        and found.outside is not None
        and _library(found) not in allowed
        and not any(found.module.within(place) for place in CLIENTS.get(_library(found), ()))
    ]


def libraries_are_declared(root: Path) -> list[str]:
    """What the product imports stands in pyproject.toml, among the dependencies or the extras."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project.get("dependencies", ())]
    for extra in project.get("optional-dependencies", {}).values():
        requirements += extra
    declared = {_name_of(requirement) for requirement in requirements}
    known = {*STDLIB, *OPTIONAL_LIBRARIES, *declared, *ROOMS, "callboard"}
    return [
        f"{found.where} imports {found.outside}, which pyproject.toml does not require"
        for found in _all(root)
        if found.outside is not None and _library(found) not in known
    ]


@lru_cache(maxsize=1)
def _all(root: Path) -> list[Import]:
    return [found for module in modules(root) for found in imports(root, module)]


def _library(found: Import) -> str:
    return (found.outside or "").split(".")[0]


def _name_of(requirement: str) -> str:
    end = next((at for at, char in enumerate(requirement) if char not in _NAME), len(requirement))
    return requirement[:end].lower().replace("-", "_")


_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def _store_of(path: PurePosixPath) -> str | None:
    parts = path.parts
    return parts[1] if len(parts) > 2 and parts[0] == "storage" and parts[1] in STORES else None


def _is_actor(path: PurePosixPath) -> bool:
    return path.parts[0] == "actors" or path.name == "actor.py"
