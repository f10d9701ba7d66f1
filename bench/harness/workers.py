"""Node processes of a bench: `bench/worker.py`, started, told to go, stopped, and what they used."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import psutil

from .processes import BENCH, clean_environment


class Worker:
    """One node process."""

    def __init__(self, url: str, slots: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(BENCH / "worker.py"), url, str(slots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        self._used_before_s = 0.0
        self.cpu_s = 0.0  # from `go` to its end, all threads
        self.rss_mb = 0.0  # at most
        self.figures: dict[str, Any] = {}  # what it says of itself at its end

    async def ready(self) -> None:
        """Wait until it is connected and waits for `go`."""
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line.strip() == "ready", line
        times = psutil.Process(self._process.pid).cpu_times()
        self._used_before_s = times.user + times.system

    def go(self) -> None:
        """Have it work."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Have it drain, and take its figures."""
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGTERM)
        self.figures = json.loads(self._process.stdout.readline())
        _, _, used = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        self.cpu_s = used.ru_utime + used.ru_stime - self._used_before_s
        self.rss_mb = round(used.ru_maxrss / 1024, 1)

    def kill(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
