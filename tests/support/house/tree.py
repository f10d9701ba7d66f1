"""Reading a checkout: its modules and what they import."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

# A room imports only rooms of a lower storey; what stands at the root itself is above them all.
ROOMS = {"kernel": 1, "storage": 2, "actors": 3, "web": 4, "runtime": 5}
ROOF = 6
STORES = ("memory", "sqlite", "postgres", "redis")


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file of the product."""

    path: PurePosixPath  # from the root
    source: str
    syntax: ast.Module

    @property
    def room(self) -> str | None:
        """Its room, or None for a file at the root."""
        return self.path.parts[0] if len(self.path.parts) > 1 else None

    @property
    def storey(self) -> int:
        return ROOMS[self.room] if self.room else ROOF

    def within(self, folder: str) -> bool:
        return self.path.is_relative_to(folder)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `inside`, a path from the root, if it is of this package, else `outside`, a dotted name."""

    module: Module
    line: int
    inside: PurePosixPath | None
    outside: str | None
    for_types_only: bool

    @property
    def where(self) -> str:
        return f"{self.module.path}:{self.line}"


@lru_cache(maxsize=1)
def modules(root: Path) -> list[Module]:
    """Every Python file of the rooms and of the root itself, read once: the rules run one after another."""
    files = sorted(root.glob("*.py"))
    for room in ROOMS:
        files += sorted((root / room).rglob("*.py"))
    found = []
    for file in files:
        source = file.read_text(encoding="utf-8")
        found.append(Module(PurePosixPath(file.relative_to(root).as_posix()), source, ast.parse(source)))
    return found


def imports(root: Path, module: Module) -> Iterator[Import]:
    """Each name that `module` imports, wherever the statement stands."""
    type_only = _lines_for_types(module.syntax)
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, None, alias.name, node.lineno in type_only)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level:
                    target = _resolve(root, module.path, node.level, node.module, alias.name)
                    yield Import(module, node.lineno, target, None, node.lineno in type_only)
                else:
                    yield Import(module, node.lineno, None, f"{node.module}.{alias.name}", node.lineno in type_only)


def tracked(root: Path) -> list[str]:
    """Paths that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [path for path in listed.split("\0") if path]


def _resolve(root: Path, path: PurePosixPath, level: int, base: str | None, name: str) -> PurePosixPath:
    """The file that `from <level dots><base> import <name>` reads; `..` in front where it leaves the package."""
    folder = path.parent
    for _ in range(level - 1):
        folder = folder.parent if folder.parts and folder.parts[-1] != ".." else folder / ".."
    target = folder.joinpath(*(base.split(".") if base else ()))
    for candidate in (target / name, target):
        if (root / candidate).with_suffix(".py").is_file() and candidate != PurePosixPath("."):
            return candidate.with_suffix(".py")
        if (root / candidate / "__init__.py").is_file():
            return candidate / "__init__.py"
    return target / name


def _lines_for_types(syntax: ast.Module) -> set[int]:
    """Lines below `if TYPE_CHECKING:`."""
    lines: set[int] = set()
    for node in ast.walk(syntax):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return lines
