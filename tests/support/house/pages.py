"""docs/architecture.md against the tree.

In that page a path in backticks is read from the root, or from the folder that the nearest heading above names
(`### storage/`). `ports/{jobs,nodes}.py` stands for two files, `storage/<store>/jobs.py` for one in each store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.house.tree import ROOMS, modules

PAGE = "docs/architecture.md"
QUOTED = re.compile(r"`([\w./{},<>-]+)`")
PATH_ENDINGS = (".py", ".sql", ".lua", "/")
HEADING = re.compile(r"^#+ +`?([\w/]+/)`?")


def architecture_fits_the_tree(root: Path) -> list[str]:
    """Every path that the page names exists, and it names every module of the rooms."""
    page = root / PAGE
    if not page.is_file():
        return [f"{PAGE} is missing"] if (root / "runtime" / "tree.py").exists() else []
    problems = []
    named: set[str] = set()
    for number, text, below in _paths(page.read_text(encoding="utf-8")):
        found = [file for place in (root / below, root) for file in place.glob(text.rstrip("/"))]
        if not found:
            problems.append(f"{PAGE}:{number} names {text}, which does not exist")
        named.update(file.relative_to(root).as_posix() for file in found)
    wanted = {str(module.path) for module in modules(root) if module.room and module.path.name != "__init__.py"}
    return problems + [f"{PAGE} does not name {path}" for path in sorted(wanted - named)]


def _paths(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, pattern, and the folder it is read from."""
    below = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := HEADING.match(line):
            below = heading[1]
            yield number, below, ""
        for match in QUOTED.finditer(line):
            for path in _expanded(match[1]):
                if path.endswith(PATH_ENDINGS) and (below or path.split("/")[0] in ROOMS or "/" not in path):
                    yield number, re.sub(r"<\w+>", "*", path), below


def _expanded(path: str) -> list[str]:
    """`a/{b,c}.py` as `a/b.py` and `a/c.py`."""
    group = re.search(r"\{([^}]*)\}", path)
    if group is None:
        return [path]
    return [
        done
        for part in group[1].split(",")
        for done in _expanded(path[: group.start()] + part.strip() + path[group.end() :])
    ]
