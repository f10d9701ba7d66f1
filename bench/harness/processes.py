"""Real processes under real signals: started in sessions of their own, waited for by a ready file, always reaped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

READY_FILE = "NODE_READY_FILE"  # names the file that a process makes once it is ready
TAIL = 4000  # characters of output that an error shows
LOOK_S = 0.005
BENCH = Path(__file__).parent.parent  # where a script finds `harness`


class Proc:
    """One process and all that it starts."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], scratch: Path, name: str) -> None:
        self.name = name
        self.ready_file = scratch / f"{name}.ready"
        self.output = scratch / f"{name}.out"
        with self.output.open("wb") as output:
            self._popen = subprocess.Popen(
                command,
                env={**env, READY_FILE: str(self.ready_file)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a negative signal's number if one ended it."""
        return self._popen.poll()

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said that it is ready."""
        return self.ready_file.exists() and self.exit_code is None

    def wait_ready(self, within_s: float = 30.0) -> Self:
        """Wait until it is ready; AssertionError when it ends before, or takes longer."""
        for _ in _looks(within_s):
            if self.is_ready:
                return self
            if self.exit_code is not None:
                raise AssertionError(f"{self.name} ended with {self.exit_code} before it was ready:\n{self.tail()}")
        raise AssertionError(f"{self.name} was not ready within {within_s} s:\n{self.tail()}")

    def signal(self, number: signal.Signals, *, alone: bool = False) -> float:
        """Send a signal to it and to all that it has started, or to it `alone`; when that was, monotonic seconds."""
        if self.exit_code is None:  # while it is not reaped, its number is no other's
            with contextlib.suppress(ProcessLookupError):
                (os.kill if alone else os.killpg)(self.pid, number)
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Stop it for that long; blocks the caller, whose time passes too."""
        self.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.signal(signal.SIGCONT)

    def wait(self, within_s: float = 30.0) -> int:
        """Its exit code; AssertionError when it still runs after `within_s`."""
        for _ in _looks(within_s):
            if (code := self.exit_code) is not None:
                return code
        raise AssertionError(f"{self.name} still ran after {within_s} s:\n{self.tail()}")

    def cpu_s(self) -> float:
        """CPU time that it has used so far, its own and the kernel's for it (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def text(self) -> str:
        """All that it has written."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The end of what it has written."""
        return self.text()[-TAIL:]


class ProcPool:
    """Starts processes, and on leaving kills what still runs."""

    def __init__(self, scratch: Path, **env: str) -> None:
        self._scratch = scratch
        self._env = env
        self.procs: list[Proc] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for proc in self.procs:
            proc.signal(signal.SIGKILL)
        for proc in self.procs:
            proc.wait()

    def spawn(self, script: Path, *args: str, **env: str) -> Proc:
        """Run a Python script, with this pool's environment and `env` on top of a clean one."""
        command = [sys.executable, str(script), *args]
        environment = {**clean_environment(), "PYTHONPATH": str(BENCH), **self._env, **env}
        proc = Proc(command, environment, self._scratch, f"proc{len(self.procs)}")
        self.procs.append(proc)
        return proc


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change a node."""
    # Without bytecode each start compiles the whole package anew, which is what a storm of restarts would then measure.
    left_out = ("CALLBOARD_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def _looks(within_s: float) -> Iterator[None]:
    """Again and again until the time is over, and once more."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        yield
        time.sleep(LOOK_S)
    yield
