"""MODULE:RUNTIME: what is found, and what is said of what is not; `callboard check` on what is found."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Cli

MODULES = {
    "fine.py": """
        from callboard import Runtime
        runtime = Runtime()
        number = 3

        @runtime.job(queue="mail")
        async def send(user: int) -> None: ...
        """,
    "flawed.py": """
        from callboard import Runtime

        class Thing: ...

        runtime = Runtime()
        elsewhere = runtime.job("nowhere:func")

        @runtime.job
        def take(thing: Thing) -> None: ...
        """,
    "doubled.py": """
        from callboard import Runtime
        runtime = Runtime()

        @runtime.job(name="one")
        def first() -> None: ...

        @runtime.job(name="one")
        def second() -> None: ...
        """,
    "raising.py": """
        import json

        def read() -> object:
            return json.loads("{")

        read()
        """,
    "leaving.py": "raise SystemExit(3)",
    "missing.py": "import no_such_library",
    "torn.py": "value = (",
    "empty.py": "",
    "deep/__init__.py": "",
    "deep/app.py": """
        from callboard import Runtime

        class Things:
            runtime = Runtime()
        """,
}


@pytest.fixture(autouse=True)
def modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Files to import, and nothing of them left imported."""
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text).lstrip())
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    for name in set(sys.modules) - before:
        if name.partition(".")[0] + ".py" in MODULES or name.startswith("deep"):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["fine:runtime", "deep.app:Things.runtime"])
def test_a_runtime_is_found_from_the_current_directory(cli: Cli, target: str) -> None:
    said = cli("check", target)

    assert (said.code, said.out) == (0, "")
    assert "no problems" in said.err


def test_check_reports_every_problem_at_once(cli: Cli, folder: Path) -> None:
    said = cli("check", "flawed:runtime")
    as_json = cli("check", "flawed:runtime", "--json")

    assert (said.code, as_json.code) == (1, 1)
    assert len(said.out.splitlines()) == 2
    assert said.err == "2 jobs checked, 2 problems\n"
    assert as_json.json["ok"] is False
    assert as_json.json["problems"] == said.out.splitlines()
    assert any("parameter 'thing': Thing cannot be stored" in problem for problem in as_json.json["problems"])
    assert any("cannot import 'nowhere'" in problem for problem in as_json.json["problems"])
    assert not (folder / "callboard.db").exists()


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("fine", "expected MODULE:RUNTIME, such as"),
        ("fine:", "expected MODULE:RUNTIME, such as"),
        (":runtime", "expected MODULE:RUNTIME, such as"),
        ("fine.py:runtime", "expected MODULE:RUNTIME, such as"),
        ("nowhere:runtime", "no module named 'nowhere' in {here} or on the Python path"),
        ("deep.other:runtime", "no module named 'deep.other' in {here} or on the Python path"),
        ("fine:rutime", "fine has no attribute 'rutime'; it holds the Runtime runtime"),
        ("empty:runtime", "empty has no attribute 'runtime'; it holds no Runtime"),
        ("fine:number", "fine:number is of type int, expected a callboard.Runtime; it holds the Runtime runtime"),
        ("raising:runtime", "module raising raised at import: json.decoder.JSONDecodeError: Expecting"),
        ("leaving:runtime", "module leaving raised at import: SystemExit: 3 ({here}/leaving.py:1)"),
        ("missing:runtime", "module missing raised at import: ModuleNotFoundError: No module named 'no_such_library'"),
        ("torn:runtime", "module torn raised at import: SyntaxError: '(' was never closed ({here}/torn.py:1)"),
        ("doubled:runtime", "module doubled raised at import: callboard.runtime.job.DuplicateJob: two jobs are named"),
    ],
)
def test_what_is_no_runtime_gets_one_line(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, target: str, said: str
) -> None:
    monkeypatch.setattr("callboard.runtime.logs.configure_logging", lambda *args, **options: None)

    result = cli(command, target)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"callboard: {said.format(here=folder)}")
    assert result.err.count("\n") == 1
    assert not (folder / "callboard.db").exists()


def test_a_path_is_answered_with_the_module_it_probably_means(cli: Cli) -> None:
    assert cli("check", "./deep/app.py:runtime").err.endswith("did you mean deep.app:runtime?\n")


@pytest.mark.parametrize(("module", "line"), [("raising", 4), ("doubled", 7), ("missing", 1)])
def test_the_place_is_the_users_own_line(cli: Cli, folder: Path, module: str, line: int) -> None:
    said = cli("check", f"{module}:runtime")

    assert said.err.endswith(f"({folder}/{module}.py:{line})\n")
