"""When a commit is on disk: after the file's lock is given up, and before anybody is told of it.

With `synchronous=FULL` SQLite waits for the disk inside COMMIT, lock held: every process on the file then waits for
every other's disk, and a commit is nobody's until it is over, so that a process killed in it has done its jobs for
nothing. So SQLite is told NORMAL, which writes the same log without waiting, and the writer itself waits for the log
(`fdatasync`) before it answers. What this keeps of FULL: a commit that was answered outlives a power cut, and with it
all that it was built on, since the log is one file and its frames stand in the order of the commits. What it gives
up: for the moment of that wait others may see a commit that a power cut would take back, along with all that they
build on it. SQLite itself waits for the log before it moves pages from it, so a checkpoint takes nothing away.

Where `fdatasync` does not reach the disk (macOS) or there is none (Windows), it stays with FULL.
"""

from __future__ import annotations

import os
import sys

from ..errors import Corrupt

FLUSHES_ITSELF = sys.platform == "linux"
SYNCHRONOUS = "NORMAL" if FLUSHES_ITSELF else "FULL"


class Log:
    """The write-ahead log of an open store, as a file to wait for."""

    def __init__(self, path: str) -> None:
        self._path = path
        # Closing it drops no lock of SQLite's: those lie on the file itself and on its index.
        self._file = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC) if FLUSHES_ITSELF else -1
        self._failure: OSError | None = None

    def flush(self) -> None:
        """Return when all that was committed, here or elsewhere, is on disk. Raises `Corrupt`, from then on always.

        A disk that failed once may call a second try a success, and have dropped what the first was to write.
        """
        if self._file < 0:
            return
        if self._failure is None:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._failure = error
        if self._failure is not None:
            raise Corrupt(
                f"{self._path}: the disk did not keep a commit ({self._failure}): look after the disk, then start again"
            )

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
