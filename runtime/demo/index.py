"""What one job of the demo does: read one Python source and count what stands in it. Pure."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

# What `ast.parse` raises for text that is no Python: another attempt would end the same way.
UNPARSABLE = (SyntaxError, UnicodeDecodeError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """One Python file in figures. It is a job's result, so it is stored."""

    path: str  # below the folder, with forward slashes
    code_lines: int  # physical lines that are neither blank nor begin with `#`
    functions: int  # `def` and `async def`, methods and nested ones too
    classes: int
    imports: int  # `import` and `from ... import` statements
    modules: list[str]  # the modules they name, each once, sorted; relative ones as seen from the folder


def index_source(source: bytes, path: str) -> IndexedFile:
    """The figures of a source text. Raises one of `UNPARSABLE` if this Python cannot parse it."""
    tree = _parse(source, path)
    functions = classes = imports = 0
    modules: set[str] = set()
    for statement in _statements(tree):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions += 1
            case ast.ClassDef():
                classes += 1
            case ast.Import(names=names):
                imports += 1
                modules.update(name.name for name in names)
            case ast.ImportFrom():
                imports += 1
                modules.add(_imported_from(statement, path))
    return IndexedFile(path, _code_lines(source), functions, classes, imports, sorted(modules))


# CPython counts the depth of a tree under construction once for the whole interpreter, so threads that parse at once
# make each other fail with SystemError (python/cpython#106905). Our own take turns, which costs nothing, since parsing
# holds the GIL; but whoever formats a traceback parses too.
_parsing = threading.Lock()
_PARSE_TRIES = 5


def _parse(source: bytes, path: str) -> ast.Module:
    with _parsing:
        for _ in range(_PARSE_TRIES - 1):
            try:
                return ast.parse(source, filename=path)
            except SystemError:
                continue
        return ast.parse(source, filename=path)


def _code_lines(source: bytes) -> int:
    lines = (line.strip() for line in source.removeprefix(b"\xef\xbb\xbf").splitlines())
    return sum(1 for line in lines if line and not line.startswith(b"#"))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    # No expression holds a statement, so they are left out: five times faster than `ast.walk`.
    blocks: list[ast.AST] = [tree]
    while blocks:
        block = blocks.pop()
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(block, field, None)
            if isinstance(inner, list):  # the body of a lambda or of `a if b else c` is one expression
                blocks += inner
        if isinstance(block, ast.stmt):
            yield block


def _imported_from(statement: ast.ImportFrom, path: str) -> str:
    if not statement.level:
        return statement.module or ""
    above = PurePosixPath(path).parts[: -statement.level]  # one dot: the folder in which the file lies
    return ".".join((*above, *([statement.module] if statement.module else []))) or "."
