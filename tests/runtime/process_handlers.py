"""Handlers that run in processes of their own: there they are imported by name, so they stand in a module."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from callboard import Cancel, Discard, Registry, Retry, RetryAfter, Snooze

registry = Registry()
ONCE = Retry(max_attempts=1)


class OddlyMade(ValueError):
    """Wants other arguments than it keeps, and holds what cannot be copied."""

    def __init__(self, status: int, *, hint: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.hint = hint
        self.lock = threading.Lock()


@registry.job(process=True, retry=ONCE)
def pid() -> int:
    return os.getpid()


@registry.job(process=True, retry=ONCE)
def pair(path: Path | str) -> tuple[int, set[str]]:
    return (1, {str(path)})


@registry.job(process=True, retry=ONCE, name="hidden")
def _private(value: int) -> int:
    return value + 1


@registry.job(process=True, retry=Retry(max_attempts=2, backoff=0.01))
def answers(mark: str, how: str) -> str | Snooze | Cancel | Discard | RetryAfter:
    if how == "cancel":
        return Cancel("not needed")
    if how == "discard":
        return Discard("stale")
    if Path(mark).exists():
        return "done"
    Path(mark).touch()
    return Snooze(0.01) if how == "snooze" else RetryAfter(0.01)


@registry.job(process=True, retry=ONCE)
def unstorable(how: str) -> object:
    return object() if how == "object" else "x" * 1_100_000


@registry.job(process=True, retry=Retry(max_attempts=3, backoff=0.01, when=lambda error: error.status >= 500))
def raises(status: int) -> None:
    raise OddlyMade(status, hint="look there")


@registry.job(process=True, retry=ONCE)
def raises_what_only_it_knows() -> None:
    class Local(LookupError):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise Local("never seen")


@registry.job(process=True, retry=ONCE)
def misses(path: str) -> str:
    return Path(path).read_text()


@registry.job(process=True, retry=ONCE)
def ends(how: str) -> None:
    if how == "sys.exit":
        sys.exit(3)
    elif how == "os._exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


@registry.job(process=True, retry=ONCE, timeout="1s")
def endless(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while True:
        time.sleep(3600)


@registry.job(process=True, retry=ONCE)
def waits(mark: str) -> None:
    endless.fn(mark)


@registry.job(process=True, retry=ONCE)
def lingers(slot: int) -> int:
    """Leaves a thread behind that Python would wait for at the end of the process."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    time.sleep(0.2)  # so that each of a few calls gets a process of its own
    return os.getpid()


@registry.job(process=True, retry=ONCE)
def prints() -> str:
    print("printed " * 20_000)
    os.write(1, b"written " * 20_000)
    sys.stdin.read()
    return "through"
