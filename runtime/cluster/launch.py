"""How a node process of a cluster is started: which command, with which ready file, and where its lines go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..logs import LogFormat
from ..tether import Tethered
from .output import NamedOutput

# A child's own lines shall come when they are written, though they go through a pipe.
COMMAND = (sys.executable, "-u", "-m", "callboard.runtime.cluster.node")


class NodeProcess(Tethered):
    """`callboard ARGUMENT...` as a process that ends with this one, its lines passed on under its name."""

    def __init__(self, name: str, arguments: Sequence[str], ready_file: Path, log_format: LogFormat) -> None:
        super().__init__(
            [*COMMAND, *arguments, "--ready-file", str(ready_file)],
            ready_file=ready_file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        stdout, stderr = self.pipes
        assert stdout is not None
        assert stderr is not None
        self._out = NamedOutput(stdout, sys.stdout, name, log_format)
        self._err = NamedOutput(stderr, sys.stderr, name, log_format)

    @property
    def last_words(self) -> str:
        """The last line that it wrote about itself."""
        return self._err.last or self._out.last or "it wrote nothing"

    def close(self) -> None:
        """Pass on what it wrote until its end, and let go of it."""
        self._out.close()
        self._err.close()
        self.cut()


class Launch:
    """Starts node processes, all with the same arguments."""

    def __init__(self, arguments: Sequence[str], folder: Path, log_format: LogFormat) -> None:
        self._arguments = tuple(arguments)
        self._folder = folder
        self._format = log_format

    def __call__(self, name: str) -> NodeProcess:
        """A new process under this name. Raises `OSError` where the machine has none to give."""
        return NodeProcess(name, self._arguments, self._folder / name, self._format)
