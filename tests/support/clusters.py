"""`callboard cluster up` as a real process, and what it has told so far."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually_sync

STORE = "sqlite:///callboard.db"
SERVICE = """
import asyncio, os, threading
from pathlib import Path
from callboard import Ctx, Runtime, Settings

VERSION = 1
print("{")  # a program may print what it likes
while Path("hold").exists():
    threading.Event().wait(0.01)
if Path("broken").exists():
    raise ValueError("broken on purpose")

runtime = Runtime("sqlite:///elsewhere.db", settings=Settings(poll="50ms", lease="2s", max_crashes=1000))

@runtime.job
async def where() -> list[int]:
    print("from a handler")
    return [os.getpid(), VERSION]

@runtime.job
async def block(file: str) -> None:
    Path(file).touch()
    threading.Event().wait()  # the event loop, for good

@runtime.job
async def wait(ctx: Ctx, file: str) -> None:
    Path(file).touch()
    await ctx.sleep(600)
"""


@dataclass
class ClusterUp:
    """A supervisor and its node processes."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All that was written to stderr, each line an object."""
        whole, _, _ = (self.folder / "err").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def told(self, event: str = "", node: str = "") -> list[dict[str, Any]]:
        """What the supervisor itself said, in order: of that event, of that node."""
        return [
            line
            for line in self.lines
            if line.get("logger") == "callboard.cluster"
            and event in ("", line["event"])
            and node in ("", line.get("node"))
        ]

    def wait_told(self, event: str, count: int = 1, node: str = "") -> list[dict[str, Any]]:
        """Those lines, once there are so many."""

        def probe() -> list[dict[str, Any]]:
            found = self.told(event, node)
            assert len(found) >= count, self.text()
            return found

        return eventually_sync(probe, within_s=40)

    def pids(self) -> dict[str, int]:
        """The process that stands, or stood last, in each place."""
        return {line["node"]: line["pid"] for line in self.told("node starts")}

    def ready_counts_while_rolling(self) -> list[int]:
        """How many nodes were ready after each event of a roll, by the supervisor's account."""
        ready: set[str] = set()
        counts = []
        is_rolling = False
        for line in self.told():
            is_rolling = line["event"] == "cluster rolls" or (is_rolling and line["event"] != "cluster rolled")
            if line["event"] == "node ready":
                ready.add(line["node"])
            elif line["event"] in ("node drains", "node crashed", "node ended") or "was drained" in line["event"]:
                ready.discard(line["node"])
            if is_rolling:
                counts.append(len(ready))
        return counts

    def ready_folder(self) -> Path:
        """Where each of its nodes that is ready has a file: as the nodes themselves say it, not the supervisor."""
        arguments = Path(f"/proc/{self.all_pids()[-1]}/cmdline").read_bytes().split(b"\0")
        return Path(os.fsdecode(arguments[arguments.index(b"--ready-file") + 1])).parent

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after that signal; every process that it ever started is gone then."""
        self.tell(number)
        code = self.process.wait(40)
        assert not [pid for pid in self.all_pids() if is_alive(pid)], self.text()
        return code

    def all_pids(self) -> list[int]:
        return [line["pid"] for line in self.told("node starts")]

    def text(self) -> str:
        return (self.folder / "err").read_text() + (self.folder / "out").read_text()


@contextmanager
def cluster_up(
    folder: Path,
    nodes: int,
    *options: str,
    store: str = STORE,
    target: str = "clustered:runtime",
    env: Mapping[str, str] | None = None,
    is_ready: bool = True,
) -> Iterator[ClusterUp]:
    """A cluster in `folder`, with all its nodes ready. On leaving, none of its processes is left."""
    command = [sys.executable, "-m", "callboard", "cluster", "up", target, "--nodes", str(nodes), "--store", store]
    command += ["--log-format", "json", *options]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, env=env)
    cluster = ClusterUp(process, folder)
    try:
        if is_ready:
            cluster.wait_told("node ready", nodes)
        yield cluster
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        with suppress(ValueError, KeyError):  # lines that are no objects, in a test that failed
            for pid in cluster.all_pids():
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
        with suppress(ValueError, KeyError):
            eventually_sync(lambda: not [pid for pid in cluster.all_pids() if is_alive(pid)], within_s=20)


def refused(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code and stderr of `callboard cluster up` with these words."""
    command = [sys.executable, "-m", "callboard", "cluster", "up", *words]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL)
    assert said.stdout == ""
    return said.returncode, said.stderr


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs; one that has ended and is not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def write_service(folder: Path, *, version: int = 1) -> None:
    (folder / "clustered.py").write_text(SERVICE.replace("VERSION = 1", f"VERSION = {version}"))


def one_line(said: str) -> str:
    """The only line of what was said."""
    lines: Sequence[str] = said.splitlines()
    assert len(lines) == 1, said
    return lines[0]
