"""`callboard run --reload`: a process that runs the node as its child and starts it anew when a .py file changes.

A node cannot take its own modules back, so it is another process that is replaced. The old one drains as on any
SIGTERM: jobs that run get their grace. A child that ended by itself (a module that does not import, say) is started
again at the next change. For development: the file system is looked through twice a second.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from .output import remark

LOOK_EVERY_S = 0.5
_SKIPPED = frozenset({"__pycache__", "node_modules", "build", "dist", "venv", "site-packages"})


def run_reloading(command: Sequence[str], folder: Path) -> int:
    """Keep `command` running, anew after each change below `folder`; the last child's exit code.

    SIGTERM and SIGINT end it: the child gets the signal, and is waited for.
    """
    supervisor = _Reloading(command, folder)
    before = {number: signal.signal(number, supervisor.on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return supervisor.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        supervisor.close()


class _Reloading:
    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = command
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ending = False
        self._child_knows = False  # that it is to end
        self._woken, self._wake = os.pipe()  # a signal ends the pause between two looks

    def close(self) -> None:
        os.close(self._woken)
        os.close(self._wake)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """A terminal gives Ctrl-C to the whole foreground group, so the child has it already; it must count once."""
        self._is_ending = True
        os.write(self._wake, b"!")
        if self._child is not None:
            self._child_knows = True
            if not (number == signal.SIGINT and _is_foreground()):
                self._child.send_signal(number)

    def run(self) -> int:
        code = 0
        while not self._is_ending:
            self._child = None
            seen = snapshot(self._folder)
            self._child = child = subprocess.Popen(self._command)
            changed = self._wait_for_change(child, seen)
            if changed is not None:
                remark(f"callboard: {changed} changed, restarting")
            if not self._child_knows:  # a signal that came before there was a child was told to nobody
                child.terminate()
            code = child.wait()
        return code

    def _wait_for_change(self, child: subprocess.Popen[bytes], seen: Mapping[str, int]) -> str | None:
        """The file that changed, or None when a signal came first. The child's own end is told, and waited over."""
        has_told = False
        while not self._is_ending:
            if child.poll() is not None and not has_told:
                remark(f"callboard: the node ended with exit code {child.returncode}; waiting for a change")
                has_told = True
            select.select([self._woken], [], [], LOOK_EVERY_S)
            changed = first_difference(seen, snapshot(self._folder))
            if changed is not None:
                return os.path.relpath(changed, self._folder)
        return None


def snapshot(folder: Path) -> dict[str, int]:
    """Every .py file below `folder` with the time of its last change, in nanoseconds; hidden folders are left out."""
    return dict(_walk(str(folder)))


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        yield from _walk(entry.path)
                elif entry.name.endswith(".py"):
                    yield entry.path, entry.stat().st_mtime_ns
    except OSError:
        return  # gone or closed to us while we looked: the next look tells


def first_difference(before: Mapping[str, int], after: Mapping[str, int]) -> str | None:
    """A file that is new, gone or changed; the first by name."""
    different = {path for path, _ in set(before.items()) ^ set(after.items())}
    return min(different, default=None)


def _is_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
