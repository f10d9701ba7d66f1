"""What handlers did, written by themselves: a file that the system under test never touches.

Each record is one short line by one write() to a file opened with O_APPEND, which a local file system keeps whole
whoever else writes and whoever is killed. Times are the machine's monotonic clock, the same for all its processes.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Record(NamedTuple):
    """One thing that one attempt did."""

    what: str  # "start", "effect", or a word of the test's own
    job: str  # id in text form
    token: int  # the attempt's fencing token
    attempt: int
    pid: int
    at: float  # monotonic seconds


class EffectLog:
    """Writes records to a file; one for each process."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, what: str, job: str, token: int, attempt: int) -> None:
        """Add one record, whole."""
        os.write(self._file, f"{what} {job} {token} {attempt} {os.getpid()} {time.monotonic():.6f}\n".encode())


def read_records(path: Path, *what: str) -> list[Record]:
    """All records so far in the order of writing, or those that say one of `what`."""
    if not path.exists():
        return []
    found: list[Record] = []
    for line in path.read_text(encoding="ascii").splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # being written this moment
        name, job, token, attempt, pid, at = line.split()
        if not what or name in what:
            found.append(Record(name, job, int(token), int(attempt), int(pid), float(at)))
    return found


def by_job(records: list[Record]) -> dict[str, list[Record]]:
    """The records of each job, in order."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[record.job].append(record)
    return found
