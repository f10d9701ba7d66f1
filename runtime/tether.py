"""A process that never outlives the one which started it, however that ended: both ends of the pipe between them.

The pipe is the child's standard input, and nothing is ever written to it. When its other end is gone the child drains
as on SIGTERM; it is hurried after `DRAIN_S`, and ended the hard way `LAST_S` later, should it not answer any more.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

DRAIN_S = 5.0  # for jobs to end in, once nobody waits for this process any more
LAST_S = 5.0  # for a node that was interrupted to hand back what it has

_cut = threading.Event()


class Tethered:
    """The parent's end: a process in a session of its own, so that Ctrl-C in a terminal reaches its parent alone.

    `ready_file` is there while it is ready; one that a former process left is removed. The command must call
    `end_with_parent`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready_file: Path | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        self._ready_file = ready_file
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=env, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """The process's number on this machine."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a negative signal's number if one ended it."""
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self.exit_code is None

    @property
    def is_ready(self) -> bool:
        """True while the node claims jobs."""
        return self._ready_file is not None and self.is_running and self._ready_file.exists()

    @property
    def pipes(self) -> tuple[IO[bytes] | None, IO[bytes] | None]:
        """What it writes to, stdout and stderr, where that was to be a pipe."""
        return self._process.stdout, self._process.stderr

    def cut(self) -> None:
        """Let go of the pipe, as if this process had ended. Does not wait."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self) -> None:
        """Ask it to drain."""
        if self.is_running:
            self._process.terminate()

    def interrupt(self) -> None:
        """Hurry it, once it was asked to drain. Another signal than that: two of a kind can reach it as one."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it on the spot, as a power cut would; its jobs stay leased until somebody rescues them."""
        self._process.kill()
        self._process.wait()
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended; one that takes longer is killed."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()


def end_with_parent() -> None:
    """The child's end, called once at its start. Standard input reads as empty from then on."""
    rope = os.dup(0)  # not inherited by what this process starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_hold, args=(rope,), name="tether", daemon=True).start()


def was_cut() -> bool:
    """Whether the parent has gone, or has let go of this process."""
    return _cut.is_set()


def _hold(rope: int) -> None:
    while os.read(rope, 1024):
        pass
    _cut.set()
    _let_go_of_pipes()
    for number, patience_s in ((signal.SIGTERM, DRAIN_S), (signal.SIGINT, LAST_S)):
        os.kill(os.getpid(), number)
        threading.Event().wait(patience_s)
    os.kill(os.getpid(), signal.SIGKILL)


def _let_go_of_pipes() -> None:
    """Nobody reads them any more: a line that is written during the drain must not fail what writes it."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.dup2(nothing, fd)
