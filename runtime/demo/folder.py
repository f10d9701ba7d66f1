"""Which files the demo indexes, and what name that workload has."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...kernel.errors import CallboardError

_LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__"})


class NoPythonFiles(CallboardError, ValueError):
    """The folder cannot be indexed: it does not exist, cannot be read, or holds no `.py` file."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A folder's Python files at one moment."""

    root: Path  # absolute
    paths: tuple[str, ...]  # below the root, with forward slashes, sorted
    digest: str  # of the root and of every file's path, size and time of change
    changed_ms: int  # when the newest of them changed, wall milliseconds

    @property
    def queue(self) -> str:
        """A queue of its own. Same files, same queue: so a run that was broken off is found again.

        And files that changed since are another workload: so a report never mixes two states of a folder.
        """
        return f"codeindex-{self.digest[:12]}"

    def job_id(self, path: str) -> bytes:
        """The id of a file's job: always the same, so that enqueueing it again changes nothing.

        Laid out as every id, with the time of the newest change in front.
        """
        digest = hashlib.blake2b(f"{self.digest}\0{path}".encode("utf-8", "surrogateescape"), digest_size=10).digest()
        entropy = int.from_bytes(digest, "big")
        high = self.changed_ms << 16 | 0x7000 | entropy >> 68
        return (high << 64 | 1 << 63 | entropy & (1 << 62) - 1).to_bytes(16, "big")


def standard_library() -> Path:
    """Where the running Python keeps its standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def survey(folder: Path) -> Workload:
    """The Python files below `folder`, without installed packages. Raises `NoPythonFiles`."""
    root = folder.resolve()
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise NoPythonFiles(f"expected a folder of Python files, found {found} at {folder}")
    digest = hashlib.blake2b(os.fsencode(root), digest_size=16)
    paths: list[str] = []
    changed_ms = 0
    for path in sorted(_python_files(root)):
        try:
            stat = (root / path).stat()
        except OSError:
            continue  # gone since it was listed
        digest.update(f"\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode("utf-8", "surrogateescape"))
        paths.append(path)
        changed_ms = max(changed_ms, stat.st_mtime_ns // 1_000_000)
    if not paths:
        raise NoPythonFiles(f"expected Python files, found no *.py below {folder}")
    return Workload(root, tuple(paths), digest.hexdigest(), changed_ms & (1 << 48) - 1)


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):  # follows no links to folders, so it cannot go round in circles
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in names:
            if name.endswith(".py") and os.path.isfile(file := os.path.join(folder, name)):
                yield Path(file).relative_to(root).as_posix()
