"""Datagram sockets in a folder beside the file: one for each listener, and a datagram to each when work was committed.

A socket whose owner died refuses datagrams and is removed by whoever notices. Nobody waits: a listener whose buffer is
full has enough to wake up for. The folder's path may be longer than a socket's may be (108 bytes), so a socket is named
through the folder's descriptor where the machine offers /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import uuid
from collections.abc import Collection

from ..records import Wakeup

_SUFFIX = ".sock"
_LONGEST_NAME = 100
_LARGEST = 4096  # longer announcements are told as "look everywhere"
_READ_AT_ONCE = 64


class Mailbox:
    """One listener's socket."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.name = f"{uuid.uuid4().hex}{_SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(folder.address(self.name))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> Collection[Wakeup]:
        """All that has come; empty when something has come that says nothing in particular."""
        found: set[Wakeup] = set()
        is_vague = False
        for _ in range(_READ_AT_ONCE):
            try:
                wakeups = _unpack(self._socket.recv(_LARGEST))
            except (BlockingIOError, InterruptedError):
                break
            found.update(wakeups)
            is_vague = is_vague or not wakeups
        return () if is_vague else found

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        self._folder.remove(self.name)


class Folder:
    """The folder of sockets."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._changed_at = -1
        self._names: list[str] = []

    def address(self, name: str) -> str:
        """How a socket in this folder is called; OSError when the machine has no name that is short enough."""
        plain = os.path.join(self._path, name)
        if len(os.fsencode(plain)) <= _LONGEST_NAME:
            return plain
        if sys.platform != "linux":
            raise OSError(f"{plain} is too long for a socket")
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def send(self, wakeups: Collection[Wakeup], *, but_to: str | None) -> None:
        """One datagram to each listener except `but_to`. Raises nothing for one that is gone or does not read."""
        datagram = _pack(wakeups)
        for name in self._listeners():
            if name == but_to:
                continue
            try:
                self._sender.sendto(datagram, self.address(name))
            except (ConnectionRefusedError, FileNotFoundError):
                self.remove(name)
            except OSError:
                continue  # its buffer is full, or it belongs to another user: polling stands underneath

    def remove(self, name: str) -> None:
        """Take a socket's name away; no effect when it is gone."""
        self._changed_at = -1
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        """Let go of the folder."""
        self._sender.close()
        os.close(self._descriptor)

    def _listeners(self) -> list[str]:
        try:
            changed_at = os.fstat(self._descriptor).st_mtime_ns
            if changed_at != self._changed_at:
                # Twice within one tick of the file system's clock looks like once: such a time is not trusted.
                self._names = [name for name in os.listdir(self._descriptor) if name.endswith(_SUFFIX)]
                self._changed_at = changed_at if _is_settled(changed_at) else -1
        except OSError:
            self._names = []
        return self._names


def _is_settled(changed_at: int) -> bool:
    import time

    return time.time_ns() - changed_at > 50_000_000


def _pack(wakeups: Collection[Wakeup]) -> bytes:
    datagram = json.dumps(list(wakeups), separators=(",", ":")).encode()
    return datagram if len(datagram) <= _LARGEST else b"[]"


def _unpack(datagram: bytes) -> list[Wakeup]:
    """Strangers may write to the socket: what cannot be read means "look everywhere"."""
    try:
        return [Wakeup(str(topic), str(queue)) for topic, queue in json.loads(datagram)]
    except (ValueError, TypeError):
        return []
