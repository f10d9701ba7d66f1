"""What a test could leave behind: asyncio tasks, threads, child processes, open files.

Each is compared before and after. What is ending when the test ends is given `GRACE_S` to be gone.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 5.0

# Threads that are kept for the next caller while the loop lives, and end with it.
POOLED_THREADS = ("AnyIO worker thread", "asyncio_", "pytest_timeout ")
# Opened once per process by the interpreter or a library, and kept.
KEPT_FILES = ("/dev/", "anon_inode:inotify")
# Serves every later use of multiprocessing in this process.
KEPT_CHILDREN = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process holds at one moment, each with a line to show."""

    threads: dict[int, str]
    children: dict[int, str]
    files: dict[int, str]  # empty where the system has no /proc


def holdings() -> Holdings:
    return Holdings(threads=_threads(), children=_children(), files=_files())


@contextmanager
def no_leaks() -> Iterator[None]:
    """AssertionError on exit when a thread, a child process or an open file is there that was not on entry."""
    before = holdings()
    yield
    left = leaked(before)
    until = time.monotonic() + GRACE_S
    while left and time.monotonic() < until:
        gc.collect()  # a reference cycle may still hold a closed-over file
        time.sleep(0.01)
        left = leaked(before)
    assert not left, "left behind by this test: " + "; ".join(left)


def leaked(before: Holdings) -> list[str]:
    """A line for each thing held now and not then."""
    now = holdings()
    return [
        *(f"thread {name}" for ident, name in now.threads.items() if ident not in before.threads),
        *(f"child process {line}" for pid, line in now.children.items() if pid not in before.children),
        *(f"open file {target}" for number, target in now.files.items() if before.files.get(number) != target),
    ]


async def tasks_gone(before: set[asyncio.Task[object]]) -> None:
    """AssertionError when a task that is not in `before` still runs after `GRACE_S` seconds."""
    if ending := _tasks() - before:
        await asyncio.wait(ending, timeout=GRACE_S)
    left = _tasks() - before
    assert not left, f"left behind by this test: {[repr(task) for task in left]}"


def _tasks() -> set[asyncio.Task[object]]:
    """All but the test runner's own: it drives each fixture and test in a task of its own."""
    return {
        task
        for task in asyncio.all_tasks()
        if not getattr(task.get_coro(), "__qualname__", "").startswith("TestRunner.")
    }


def _threads() -> dict[int, str]:
    alive = [thread for thread in threading.enumerate() if not thread.name.startswith(POOLED_THREADS)]
    return {id(thread): thread.name for thread in alive}


def _children() -> dict[int, str]:
    """Direct children, zombies included."""
    found: dict[int, str] = {}
    me = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) != me:
                continue
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # ended while we looked
        if not any(kept in command for kept in KEPT_CHILDREN):
            found[int(entry.name)] = (
                f"{entry.name} ({state}) {command.replace(bytes(1), b' ').decode(errors='replace')}"
            )
    return found


def _files() -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            target = os.readlink(entry)
        except OSError:
            continue  # the handle of this very listing
        if not target.startswith(KEPT_FILES):
            found[int(entry.name)] = target
    return found
