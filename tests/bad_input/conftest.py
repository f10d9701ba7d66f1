"""What every surface must show of wrong input: one line, a typed error or exit code 2, nothing written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from typing import Protocol

import pytest

from callboard import CallboardError, Runtime, Settings
from callboard.__main__ import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty, and none of Callboard's variables set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CALLBOARD_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def runtime(folder: Path) -> Runtime:
    """On a SQLite file in `folder` that is not there yet."""
    return Runtime("sqlite:///jobs.db", settings=Settings(lease="2s", grace="2s"))


@dataclass(frozen=True)
class Refused:
    """The error of a refusal, once the block is through."""

    error: list[CallboardError]

    @property
    def line(self) -> str:
        return str(self.error[0])


@contextmanager
def refused(kind: type[BaseException], *, by: str = "") -> Iterator[Refused]:
    """The block raises `kind`, of Callboard's own errors, in one line that says `by`."""
    found = Refused([])
    with pytest.raises(kind) as caught:
        yield found
    assert isinstance(caught.value, CallboardError), repr(caught.value)
    found.error.append(caught.value)
    assert by in found.line, found.line
    assert "\n" not in found.line
    assert len(found.line) < 500


class Cli(Protocol):
    def __call__(self, *args: str) -> str: ...


@pytest.fixture
def refused_by_cli(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Call a command that must end with code 2 and one line on stderr, which it gives; `folder` stays as it was."""
    monkeypatch.setattr("callboard.runtime.logs.configure_logging", lambda *args, **options: None)

    def call(*args: str) -> str:
        before = contents(folder)
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        assert (code, said.out) == (2, ""), said.err
        assert said.err.startswith("callboard: "), said.err
        assert said.err.count("\n") == 1, said.err
        assert contents(folder) == before
        return said.err

    return call


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the bytes of files; what importing leaves behind aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def rows(path: Path) -> int:
    """How many jobs a SQLite store holds."""
    with closing(connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    return count
