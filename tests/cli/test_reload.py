"""`callboard run --reload`: a change starts the node anew, a signal ends both."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callboard.runtime.cli.reload import first_difference, snapshot
from tests.support.eventually import eventually_sync

MODULE = """
from callboard import Runtime
runtime = Runtime("sqlite:///jobs.db")

@runtime.job
def job() -> None: ...
"""


@contextmanager
def reloading(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A terminal's session leader is nobody here: the parent passes each signal on."""
    command = [sys.executable, "-m", "callboard", "run", "app:runtime", "--ready-file", "ready", "--reload"]
    with (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=err, cwd=folder)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def lines(folder: Path) -> str:
    return (folder / "err").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_changed_file_starts_the_node_anew_and_a_signal_ends_it(folder: Path, number: int) -> None:
    (folder / "app.py").write_text(MODULE)

    with reloading(folder) as process:
        eventually_sync((folder / "ready").exists, within_s=30)
        (folder / "app.py").write_text(MODULE + "\n# changed\n")
        eventually_sync(lambda: lines(folder).count("node starts") == 2, within_s=30)
        eventually_sync((folder / "ready").exists, within_s=30)
        process.send_signal(number)
        code = process.wait(30)

    assert code == 0
    assert "callboard: app.py changed, restarting" in lines(folder)
    assert lines(folder).count("node stopped") == 2
    assert not (folder / "ready").exists()


def test_a_module_that_fails_to_import_is_tried_again_when_it_changes(folder: Path) -> None:
    (folder / "app.py").write_text("raise ValueError('not yet')\n")

    with reloading(folder) as process:
        eventually_sync(lambda: "waiting for a change" in lines(folder), within_s=30)
        (folder / "app.py").write_text(MODULE)
        eventually_sync((folder / "ready").exists, within_s=30)
        process.terminate()
        code = process.wait(30)

    assert code == 0
    assert "module app raised at import: ValueError: not yet" in lines(folder)
    assert "the node ended with exit code 2" in lines(folder)


def test_a_snapshot_sees_python_files_that_come_change_and_go(tmp_path: Path) -> None:
    for name in ("a.py", "pkg/b.py", ".venv/c.py", "__pycache__/d.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    before = snapshot(tmp_path)

    (tmp_path / ".venv/c.py").write_text("changed")
    (tmp_path / "notes.txt").write_text("changed")
    untouched = snapshot(tmp_path)
    (tmp_path / "pkg/new.py").write_text("")
    with_new = snapshot(tmp_path)
    (tmp_path / "a.py").unlink()
    without_a = snapshot(tmp_path)

    assert {Path(path).name for path in before} == {"a.py", "b.py"}
    assert first_difference(before, untouched) is None
    assert first_difference(before, with_new) == str(tmp_path / "pkg/new.py")
    assert first_difference(with_new, without_a) == str(tmp_path / "a.py")
