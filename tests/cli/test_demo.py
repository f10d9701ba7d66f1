"""`callboard demo` as people run it: two node processes, one store, kills and interruptions among them."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callboard.__main__ import main
from callboard.kernel.clock import SystemClock
from callboard.storage.ports.store import Store
from callboard.storage.urls import store_of
from tests.support.eventually import eventually
from tests.support.urls import SERVERS, fresh_url

pytestmark = pytest.mark.timeout(120)

FIELDS = ["jobs", "completed", "failed", "attempts", "rescued", "nodes", "seconds", "jobs_per_second", "report"]
BROKEN = "print 'two'\n"
SLOW = "".join(f"def f{n}(a, b=({n}, [{n}, '{n}'])): return {{a: [b, {n}]}}\n" for n in range(1000))  # to parse
VERY_SLOW = SLOW * 5  # not done before it is interrupted, whatever the pace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files that parse, in two folders, and one that does not."""
    root = tmp_path / "code"
    (root / "sub").mkdir(parents=True)
    (root / "big.py").write_text("import os\nimport sub.a\n\n# no code\nclass A:\n    def f(self): ...\n")
    (root / "sub" / "__init__.py").touch()
    (root / "sub" / "a.py").write_text("import os\n")
    (root / "sub" / "b.py").write_text("from . import a\n")
    (root / "broken.py").write_text(BROKEN)
    return root


@pytest.fixture
def slow_folder(tmp_path: Path) -> Path:
    """As many files as two nodes need some seconds for, one of them broken."""
    root = tmp_path / "slow"
    root.mkdir()
    for number in range(99):
        (root / f"m{number:03}.py").touch()
    fill(root, SLOW)
    (root / "broken.py").write_text(BROKEN)
    return root


def fill(folder: Path, text: str) -> None:
    """Write that text into each file of `slow_folder` that is not broken."""
    for path in folder.glob("m*.py"):
        path.write_text(text)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `callboard demo` in an empty folder; one that a failing test leaves behind is ended."""
    running: list[subprocess.Popen[str]] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    (tmp_path / "here").mkdir()

    def call(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "callboard", "demo", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "TMPDIR": str(tmp_path)},
            cwd=tmp_path / "here",
        )
        running.append(process)
        return process

    yield call
    for process in running:
        with process:  # closes its pipes
            if process.poll() is None:
                process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The one object on standard output of a run that went well."""
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.wheel
def test_json_is_one_object_that_accounts_for_every_file(start: Start, folder: Path, tmp_path: Path) -> None:
    found = outcome(start("--dir", folder, "--json"))

    assert list(found) == FIELDS
    assert (found["jobs"], found["completed"], found["failed"]) == (5, 4, 1)
    assert (found["attempts"], found["rescued"], found["nodes"]) == (5, 0, 2)
    report = found["report"]
    assert (report["files"], report["parsed"], report["code_lines"]) == (5, 4, 6)
    assert (report["functions"], report["classes"], report["imports"]) == (1, 1, 4)
    assert report["largest"][0] == {"path": "big.py", "code_lines": 4, "functions": 1, "classes": 1}
    assert report["most_imported"][0] == {"module": "os", "files": 2}
    assert [file["path"] for file in report["unparsed"]] == ["broken.py"]
    assert report["unparsed"][0]["why"].startswith("SyntaxError: ")
    assert list((tmp_path / "here").iterdir()) == []
    assert not list(tmp_path.glob("callboard-demo-*"))


def test_elsewhere_than_on_a_terminal_there_are_plain_lines(start: Start, folder: Path) -> None:
    (folder / "esc\x1b[31m.py").write_text(BROKEN)

    code, out, err = ended(start("--dir", folder))

    assert (code, err) == (0, "")
    assert all(line.isprintable() for line in out.splitlines())
    assert r"  esc\x1b[31m.py: SyntaxError: " in out
    assert "6 files, 4 parsed: 6 code lines, 1 functions, 1 classes, 4 imports\n" in out
    assert "6 jobs: 4 completed, 2 failed, 6 attempts, 0 rescued\n" in out


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_a_file_whose_name_is_no_text_is_indexed_too(start: Start, tmp_path: Path) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    try:
        (root / os.fsdecode(b"caf\xe9.py")).write_text("import os\n")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")

    found = outcome(start("--dir", root, "--json"))

    assert (found["completed"], found["report"]["largest"][0]["path"]) == (1, "caf\\udce9.py")


@pytest.mark.wheel
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kill_half_way_loses_nothing(start: Start, slow_folder: Path) -> None:
    code, out, err = ended(start("--dir", slow_folder, "--kill"))

    assert (code, err) == (0, "")
    assert "killed node 1 (SIGKILL, pid " in out
    assert "100 files, 99 parsed: " in out
    assert "100 jobs: 99 completed, 1 failed, " in out


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_how_to_go_on_and_goes_on(start: Start, slow_folder: Path, number: signal.Signals) -> None:
    fill(slow_folder, VERY_SLOW)
    first = start("--dir", slow_folder)
    wait_for(first, " of 100 files, ")

    first.send_signal(number)
    code, _, err = ended(first)

    assert code == 1
    said, _, command = err.strip().partition("; to go on where it stopped: callboard demo ")
    assert said.startswith("stopped after ")
    assert "\n" not in err.strip()
    assert nodes_on(shlex.split(command)[1]) == []
    fill(slow_folder, SLOW)
    found = outcome(start(*shlex.split(command), "--json"))
    assert (found["jobs"], found["completed"], found["failed"]) == (100, 99, 1)
    assert (found["attempts"], found["rescued"]) == (100, 0)
    assert found["report"]["files"] == 100


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("kind", SERVERS)
def test_on_a_server_it_sets_up_the_store_goes_on_and_bears_a_kill(
    start: Start, slow_folder: Path, tmp_path: Path, kind: str
) -> None:
    for path in sorted(slow_folder.glob("m*.py"))[39:]:
        path.unlink()
    with fresh_url(kind, tmp_path) as url:
        fill(slow_folder, VERY_SLOW)
        first = start("--dir", slow_folder, "--store", url)
        wait_for(first, " of 40 files, ")
        first.send_signal(signal.SIGINT)
        code, _, err = ended(first)
        assert (code, err.startswith("stopped after ")) == (1, True)
        assert nodes_on(url) == []

        fill(slow_folder, SLOW)
        found = outcome(start("--dir", slow_folder, "--store", url, "--kill", "--json"))

    assert (found["jobs"], found["completed"], found["failed"]) == (40, 39, 1)
    assert found["attempts"] == 40 + found["rescued"]
    assert found["report"]["files"] == 40


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_nodes_do_not_outlive_a_demo_that_was_killed(start: Start, slow_folder: Path) -> None:
    process = start("--dir", slow_folder, "--store", "sqlite:///kept.db")
    wait_for(process, " 2 nodes")
    url = f"sqlite:///{slow_folder.parent / 'here' / 'kept.db'}"
    async with opened(url) as store:
        assert len(await store.nodes.list()) == 2

        process.kill()
        ended(process)

        async def nobody() -> bool:
            return not await store.nodes.list()

        await eventually(nobody, within_s=60)


def test_a_store_that_is_done_is_reported_again_and_nothing_is_run(start: Start, folder: Path) -> None:
    first = outcome(start("--dir", folder, "--store", "sqlite:///kept.db", "--json"))

    again = outcome(start("--dir", folder, "--store", "sqlite:///kept.db", "--json"))

    assert again["report"] == first["report"]
    assert (again["attempts"], again["jobs_per_second"]) == (5, 0.0)


def test_files_that_changed_meanwhile_are_another_workload(start: Start, folder: Path) -> None:
    outcome(start("--dir", folder, "--store", "sqlite:///kept.db", "--json"))
    (folder / "broken.py").write_text("import mended\n")

    found = outcome(start("--dir", folder, "--store", "sqlite:///kept.db", "--json"))

    assert (found["jobs"], found["completed"], found["failed"]) == (5, 5, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dir", "nowhere"], "expected a folder of Python files, found nothing at nowhere"),
        (["--dir", "file.py"], "expected a folder of Python files, found a file at file.py"),
        (["--dir", "empty"], "expected Python files, found no *.py below empty"),
        (["--dir", "code", "--store", "memory://"], "expected a store that they can share"),
        (["--dir", "code", "--store", "mysql://x"], "store URL 'mysql://x' is of no known kind"),
        (["--dir", "code", "--store", "sqlite:///empty"], "expected a file"),
        (["--no-such"], "--no-such"),
        (["code"], "code"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    here = folder.parent
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", str(here))
    (here / "file.py").touch()
    (here / "empty").mkdir()
    before = sorted(here.rglob("*"))

    code = main(["demo", *arguments])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("callboard: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert sorted(here.rglob("*")) == before


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read the demo's lines until one holds `text`; the test's time limit ends the wait."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the demo ended without {text!r}")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = store_of(url, clock=SystemClock(), disk_reserve_bytes=0)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def nodes_on(url: str) -> list[int]:
    """The process numbers of the nodes that work on a store."""

    async def look() -> list[int]:
        async with opened(url) as store:
            return [node.pid for node in await store.nodes.list()]

    return asyncio.run(look())
