"""What reaches the wheel, and what git tracks."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.support.house.tree import ROOMS, tracked

# Written so that no pattern matches its own text.
MACHINE_PATH = re.compile(r"(?<![\w.:*>)}/-])/(?:root|work|home|Users)/\w")
REGISTRY_HOST = re.compile(r"pypi\.(?:org|python)|pythonhosted\.org")
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"}


def packages_equal_the_tree(root: Path) -> list[str]:
    """Every folder with code stands in `packages`, by name and in order: one left out drops out of the wheel."""
    listed: list[str] = _setuptools(root)["packages"]
    found = {"callboard"}
    problems = []
    for room in ROOMS:
        for file in (root / room).rglob("*.py"):
            folder = file.parent.relative_to(root)
            if (file.parent / "__init__.py").is_file():
                found.add("callboard." + ".".join(folder.parts))
            else:
                problems.append(f"{file.relative_to(root)} stands in a folder without __init__.py")
    problems += [f"{name} is missing in `packages` of pyproject.toml" for name in sorted(found - set(listed))]
    problems += [f"{name} in `packages` of pyproject.toml has no folder" for name in sorted(set(listed) - found)]
    if listed != sorted(listed):
        problems.append("`packages` of pyproject.toml is not sorted")
    return problems


def data_files_are_packaged(root: Path) -> list[str]:
    """Every file of a room that is not Python code matches a pattern of package-data, and so does py.typed."""
    settings = _setuptools(root)
    packaged: set[Path] = set()
    for name, patterns in settings.get("package-data", {}).items():
        for package in settings["packages"] if name == "*" else [name]:
            folder = root.joinpath(*package.split(".")[1:])
            packaged.update(file for pattern in patterns for file in folder.glob(pattern))
    data = [root / "py.typed"]
    for room in ROOMS:
        data += [file for file in (root / room).rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
    return [f"{file.relative_to(root)} matches no pattern of package-data" for file in data if file not in packaged]


def typing_link_is_tracked(root: Path) -> list[str]:
    """`.typing/callboard` is a tracked link to the root; type checkers find the package by it."""
    command = ["git", "ls-files", "--stage", ".typing/callboard"]
    entry = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    if not entry.startswith("120000 "):
        return [".typing/callboard is not tracked as a link"]
    target = (root / ".typing" / "callboard").readlink()
    return [] if str(target) == ".." else [f".typing/callboard leads to {target}, expected .."]


def no_lock_file(root: Path) -> list[str]:
    """Lock files name hosts; ranges stand in pyproject.toml."""
    return [f"{path} is tracked" for path in tracked(root) if Path(path).name in LOCK_FILES]


def nothing_names_this_machine(root: Path) -> list[str]:
    """No tracked text names a folder of somebody's machine or the host of a package registry."""
    problems = []
    for path in tracked(root):
        file = root / path
        if file.is_symlink() or not file.is_file():
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                problems.append(f"{path}:{number} names a path of a machine")
            if REGISTRY_HOST.search(line):
                problems.append(f"{path}:{number} names the host of a package registry")
    return problems


def no_folder_of_tests_shadows(root: Path) -> list[str]:
    """pytest names `tests/typing/test_x.py` `typing.test_x`, and puts a `typing` of its own in place of Python's."""
    folders = {file.relative_to(root / "tests").parts[0] for file in (root / "tests").glob("*/**/test_*.py")}
    return [
        f"tests/{name}/ holds tests and is named like Python's {name}"
        for name in sorted(folders & sys.stdlib_module_names)
    ]


def _setuptools(root: Path) -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    return settings
