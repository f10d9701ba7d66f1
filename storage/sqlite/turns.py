"""Whose turn it is to write, among processes on one file.

SQLite lets one connection write and gives the others no line to stand in: whoever has just committed takes the lock
again before a waiter looks, so that of two busy processes one starves. Here a waiter first takes a lock of its own kind
on a small file (the turnstile), then tries for SQLite's lock until it has it, then leaves the turnstile. Who has just
committed finds the turnstile taken and stands behind the waiter; so a waiter needs no luck in hitting a gap, also when
its interpreter is busy and it can look only now and then.

What happens when a part fails: a process that dies leaves the turnstile with its open file. One that is stopped in it
would hold up all others, so they pass it by after `_PATIENCE_S` and leave it alone for a while. Other programs do not
know of the turnstile; they and its absence (Windows) are met by trying again every 0.2 ms and, once SQLite's lock was
seen taken, by a pause after each commit. Whoever has not got the lock after `limit_s` gives up with `Unavailable`.

Waiting for another process happens in real time, whatever clock the store is given.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections import deque
from dataclasses import dataclass
from time import sleep as _pause

from ...kernel.clock import SystemClock
from ..errors import Unavailable
from .faults import is_busy

if sys.platform != "win32":
    import fcntl

_RETRY_S = 0.0002
_RETRY_LATER_S = 0.001  # after the first 50 ms
_PATIENCE_S = 0.05
_AVOID_S = 1.0
_YIELD_S = 0.0003
_KEPT_WAITS = 20_000


@dataclass(frozen=True, slots=True)
class LockWaits:
    """How long this process waited for its turn to write, since it opened the store."""

    count: int
    p50_ms: float  # of the last 20,000
    p99_ms: float
    longest_ms: float


class Turns:
    """Begins writing transactions, one at a time and in fair turns with other processes."""

    def __init__(self, turnstile: str | None, *, path: str, limit_s: float) -> None:
        self._path = path
        self._limit_s = limit_s
        self._now = SystemClock().monotonic
        self._avoid_until = 0.0
        self._busy_seen = -10.0
        self._waits: deque[float] = deque(maxlen=_KEPT_WAITS)
        self._count = 0
        self._longest = 0.0
        self._turnstile: int | None = None
        if turnstile is not None and sys.platform != "win32":
            self._turnstile = os.open(turnstile, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begin a writing transaction. Raises `Unavailable` when another process held the lock for `limit_s`."""
        started = self._now()
        stands_in = self._enter(started)
        try:
            while not self._try(connection):
                waited = self._now() - started
                if waited > self._limit_s:
                    raise Unavailable(f"{self._path} has been locked by another process for {waited:.1f} s")
                _pause(_RETRY_S if waited < _PATIENCE_S else _RETRY_LATER_S)
        finally:
            if stands_in:
                self._leave()
        self._note(self._now() - started)

    def ended(self) -> None:
        """A transaction was committed: let others have a gap where there is no turnstile."""
        if self._turnstile is None and self._now() - self._busy_seen < 1:
            _pause(_YIELD_S)

    def waits(self) -> LockWaits:
        """What was measured; may be called from any thread."""
        kept = sorted(self._waits.copy())
        if not kept:
            return LockWaits(0, 0.0, 0.0, 0.0)
        last = len(kept) - 1
        return LockWaits(
            self._count, kept[last // 2] * 1000, kept[int(last * 0.99)] * 1000, round(self._longest * 1000, 3)
        )

    def close(self) -> None:
        """Let go of the turnstile's file."""
        if self._turnstile is not None:
            os.close(self._turnstile)
            self._turnstile = None

    def _try(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self._busy_seen = self._now()
            return False
        return True

    def _enter(self, started: float) -> bool:
        """Stand in the turnstile; False: it is passed by."""
        if self._turnstile is None or started < self._avoid_until:
            return False
        while True:
            if sys.platform != "win32":
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
            if self._now() - started > _PATIENCE_S:
                self._avoid_until = self._now() + _AVOID_S
                return False
            _pause(_RETRY_S)

    def _leave(self) -> None:
        if self._turnstile is not None and sys.platform != "win32":
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def _note(self, waited: float) -> None:
        self._waits.append(waited)
        self._count += 1
        self._longest = max(self._longest, waited)
