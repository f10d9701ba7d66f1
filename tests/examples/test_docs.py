"""The Python of the guide runs from top to bottom, and the pages name only what is there."""

from __future__ import annotations

import ast
import inspect
import os
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from typer.main import get_command

from callboard.runtime.cli.app import app
from callboard.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[CodeType]:
    """The page's Python, each block compiled so that a failure names its line on the page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        above = "\n" * text.count("\n", 0, match.start(1))
        found.append(compile(above + match[1], str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    return found


async def test_guide_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "guide"}
    code = blocks(ROOT / "docs" / "guide.md")

    for block in code:
        waiting = eval(block, names)
        if inspect.isawaitable(waiting):
            await waiting

    assert len(code) > 5
    assert names["attempts"] == [1, 1, 2, 3]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_link_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not os.path.exists(page.parent / link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_commands_that_exist(page: Path) -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009 - typer does not say that it is a group
    named = re.findall(r"callboard ([a-z]+)(?: ([a-z]+))?", " ".join(re.findall(r"`[^`\n]+`", page.read_text("utf-8"))))

    for command, verb in named:
        assert command in commands
        verbs = getattr(commands[command], "commands", None)
        assert verbs is None or not verb or verb in verbs


def test_operations_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| CALLBOARD_(\w+) \|", page, re.M)

    settings = [name for name in inspect.signature(Settings).parameters if name != "unknown"]
    assert [name for name, _ in listed] == settings
    assert [variable for _, variable in listed] == [name.upper() for name in settings]
