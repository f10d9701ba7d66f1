"""Handlers in processes of their own: one per slot of a queue, started when first needed, kept for the next attempt.

Why not anyio's process pool, which was tried first: it runs the node's own program again in each child, which fails
under `python -m callboard`; a child cancelled while it starts is left behind; what handlers print is lost; exceptions
travel by pickle. Here a child is one thread's business from its start to its end: the thread writes a call, reads the
answer, and reaps the child once its pipe has broken. Killing the child is all that stopping an attempt takes.

A process that dies (os._exit, SIGKILL, the kernel's out-of-memory killer) fails the attempt it ran and no other. It
ends with its node: at its end of the pipe, or, when the node was killed, within half a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any, BinaryIO

from anyio import to_thread

from ..kernel.errors import CallboardError
from ..storage.ids import format_id
from ..storage.job import Claimed
from .calling import unlimited
from .definition import HandlerNotFound, JobDefinition, ResultTooLarge, unreachable
from .failures import describe
from .outcome import (
    FAILED_RESULT_NOT_STORABLE,
    FAILED_RESULT_TOO_LARGE,
    Cancel,
    Completed,
    Discard,
    Failed,
    RetryAfter,
    Snooze,
)
from .process_child import MAIN, read_frame, write_frame
from .raised import remade

_END_S = 1.0  # that an idle process has to end by itself when its pipe is closed
_CHILD = "import sys; sys.path[:] = {path!r}; from {package}.process_child import main; main()"

Answer = Completed | Failed | Snooze | Cancel | Discard | RetryAfter


class HandlerProcessDied(CallboardError):
    """The process of a handler ended before its handler did. Judged like any exception: retried unless the policy
    says no."""

    def __init__(self, returncode: int | None) -> None:
        super().__init__(returncode)
        self.returncode = returncode

    def __str__(self) -> str:
        return f"the handler's process {_how(self.returncode)} before the handler was through"


class Processes:
    """The processes of one queue's worker. Never more than attempts run at once; `close` ends them."""

    def __init__(self) -> None:
        self._idle: list[_Process] = []

    async def call(self, definition: JobDefinition, job: Claimed) -> Answer:
        """Run the handler on the job's stored arguments. Cancelled, the process that runs it is killed.

        Raises what the handler raised (see `raised.py`), `HandlerProcessDied`, or `HandlerNotFound` for a handler that
        another process cannot import.
        """
        handler = definition.handler()
        if obstacle := unreachable(handler):
            raise HandlerNotFound(f"process=True needs a function that can be imported; {obstacle}")
        identity = {"job_id": format_id(job.id), "job": job.name, "attempt": job.attempt}
        process = self._take()
        try:
            answer = await to_thread.run_sync(
                process.ask,
                [handler.reference, job.name, job.payload, identity],
                abandon_on_cancel=True,
                limiter=unlimited(),
            )
        except BaseException:
            process.kill()
            raise
        self._idle.append(process)
        return _read(*answer)

    async def close(self) -> None:
        """End the processes that are idle, which are all once no attempt runs; they have a second for it."""
        idle, self._idle = self._idle, []
        if idle:
            await to_thread.run_sync(_end_all, idle, limiter=unlimited())

    def _take(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive():
                return process
        return _Process()


class _Process:
    """One child. `ask` is called in a thread, one call at a time; `kill` from anywhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def ask(self, call: list[Any]) -> list[Any]:
        """The child's answer to a call. Raises `HandlerProcessDied`."""
        child = self._child or self._start()
        calls, answers = _pipes(child)
        try:
            write_frame(calls, call)
            answer: list[Any] | None = read_frame(answers)
        except OSError:
            answer = None
        if answer is None:
            self.let_go()
            raise HandlerProcessDied(self.end(_END_S))
        return answer

    def is_alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """Kill the child, also one that is only about to start. The thread in `ask` reaps it."""
        with self._lock:
            self._is_killed = True
            if self._child is not None:
                self._child.kill()

    def let_go(self) -> None:
        """Close the pipes, at which the child ends."""
        assert self._child is not None
        for pipe in _pipes(self._child):
            try:
                pipe.close()
            except OSError:
                continue  # what was not written before it died

    def end(self, patience_s: float) -> int:
        """Wait for the child to end, which is brought about after `patience_s`; its return code."""
        assert self._child is not None
        try:
            return self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_killed:
                raise HandlerProcessDied(None)
            self._child = child = subprocess.Popen(
                [sys.executable, "-c", _CHILD.format(path=sys.path, package=__package__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        write_frame(_pipes(child)[0], [os.getpid(), _program()])
        return child


def _pipes(child: subprocess.Popen[bytes]) -> tuple[BinaryIO, BinaryIO]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout  # type: ignore[return-value]


def _program() -> list[str]:
    """What the node's `__main__` is: a module's name or a file's path."""
    main = sys.modules[MAIN]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return ["module", spec.name]
    path = getattr(main, "__file__", None)
    return ["file", os.path.abspath(path) if path else ""]


def _end_all(processes: list[_Process]) -> None:
    """End them all within a second; a thread that a handler left behind could hold each of them up."""
    for process in processes:
        process.let_go()
    patience_s = _END_S
    for process in processes:
        if process.end(patience_s) < 0:  # killed: the others had their second, too
            patience_s = 0.0


def _read(kind: str, *content: Any) -> Answer:
    match kind, content:
        case "value", [result]:
            return Completed(result)
        case "snooze", [seconds]:
            return Snooze(seconds)
        case "retry_after", [seconds]:
            return RetryAfter(seconds)
        case "cancel", [reason]:
            return Cancel(reason)
        case "discard", [reason]:
            return Discard(reason)
        case "no_result", told:
            error = remade(*told)
            reason = FAILED_RESULT_TOO_LARGE if isinstance(error, ResultTooLarge) else FAILED_RESULT_NOT_STORABLE
            return Failed(reason, describe(error))
    raise remade(*content)


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "was stopped"
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
