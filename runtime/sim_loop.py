"""The event loop of a simulation: virtual time, one thread, and an order of tasks that a seed decides.

Model. Time stands still while anything is ready to run and jumps to the next timer when nothing is. Tasks that are
ready together may run in any order, so a seed shuffles them, and now and then lets one wait for a turn. What asyncio
promises is kept: callbacks run in the order in which they were scheduled, and no task runs before a callback that was
scheduled before it (a task that was slow to wake up is always legal, an early one is not).

All that runs goes into a hash: the virtual time, and which task or callback it was, told by a number or a name that is
the same in every process.

It stands on `BaseEventLoop` without a selector, since there is nothing to select: threads, sockets and processes are
refused. `_ready`, `_scheduled`, `_run_once` and `Handle._run` are asyncio's own, unchanged from Python 3.11 to 3.14;
`tests/runtime/test_sim_loop.py` pins what is used of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
import threading
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

from ..actors.context import current_attempt
from ..kernel.errors import CallboardError
from .waiting import where

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LATE = 1 / 8  # chance of a ready task to be passed over once
UNWIND_S = 60.0
STANDSTILL = 1_000_000  # events without any time passing, after which something runs in a circle

# On which simulated machine code runs: inherited by tasks and callbacks, also by tasks with a context of their own.
machine_here: ContextVar[object | None] = ContextVar("callboard_machine", default=None)


class SimDeadlock(CallboardError, RuntimeError):
    """The simulation cannot go on: nothing is ready and no timer is set, or time has ceased to pass."""


class NotSimulated(CallboardError, RuntimeError):
    """Something outside the simulation was asked for: a thread, a socket, a process."""

    def __init__(self, what: str) -> None:
        super().__init__(f"a simulation has no {what}: everything in it runs on one thread, in virtual time")


class SimLoop(BaseEventLoop):
    """One simulation's loop; `close` it after `unwind`."""

    _ready: deque[Any]
    _scheduled: list[Any]
    _thread_id: int | None

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.events = 0
        self._now = 0.0
        self._stamp = "\n0.0 "  # the time, as it goes into the hash
        self._chance = random.Random(f"order of tasks, {seed}")
        self._hash = hashlib.sha256()
        self._created = 0
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], _Known] = WeakKeyDictionary()
        self._moved_at = 0  # events when time passed last
        self._crashed: set[object] = set()
        self._frozen: set[object] = set()  # machines that stand still, the crashed ones among them
        self._put_off: list[Any] = []  # what those would have run

    @property
    def event_hash(self) -> str:
        """Of all that ran until now."""
        return self._hash.hexdigest()

    def time(self) -> float:
        return self._now

    def crash(self, machine: object) -> None:
        """From now on nothing of `machine` runs."""
        self._crashed.add(machine)
        self._frozen.add(machine)

    def freeze(self, machine: object) -> None:
        """Nothing of `machine` runs until `thaw`; then everything that was due meanwhile."""
        self._frozen.add(machine)

    def thaw(self, machine: object) -> None:
        """Undo `freeze`; a machine that crashed stays down."""
        if machine not in self._crashed:
            self._frozen.discard(machine)
            self._ready.extend(handle for handle in self._put_off if handle._context.get(machine_here) is machine)
            self._put_off = [handle for handle in self._put_off if handle._context.get(machine_here) is not machine]

    def waiting(self) -> list[str]:
        """The tasks that have not ended, one line each, oldest first; those of crashed machines left out."""
        return [f"{task.get_name()} at {where(task)}" for task in self._unfinished() if not self._is_crashed(task)]

    def unwind(self) -> None:
        """End whatever is left, so that nothing complains when it is collected.

        Machines that stand still come back for it, without their timers. Attempts are cancelled first, so that no
        handler goes on; then the other tasks, oldest first, each with a virtual minute to end: whoever owns others
        stops them in order. What is still there then waits for ever, and is forgotten.
        """
        self._crashed.clear()
        self._frozen.clear()
        self._ready.extend(handle for handle in self._put_off if not isinstance(handle, asyncio.TimerHandle))
        self._put_off.clear()
        try:
            self._end([task for task in self._unfinished() if self._tasks[task].context.get(current_attempt)])
            for task in self._unfinished():
                self._end([task])
            self.run_until_complete(self.shutdown_asyncgens())
        except SimDeadlock:
            pass  # the rest cannot end
        for task in self._unfinished():
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._moved_at = self.events
        going = [task for task in tasks if not task.done()]
        for task in going:
            task.cancel()
        if going:
            self.run_until_complete(asyncio.wait(going, timeout=UNWIND_S))

    # What asyncio calls.

    def _run_once(self) -> None:
        if not self._ready:
            self._pass_time()
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._when <= self._now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(self._arrange()):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self._frozen and handle._context.get(machine_here) in self._frozen:
                self._put_off.append(handle)
                continue
            self._note(handle)
            handle._run()

    def _pass_time(self) -> None:
        """Go to the next timer."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not scheduled:
            raise SimDeadlock(
                "nothing is ready and no timer is set, so nothing will ever happen again; these tasks wait:"
                + "".join(f"\n  {line}" for line in self.waiting())
            )
        self._now = max(self._now, scheduled[0]._when)
        self._stamp = f"\n{self._now!r} "
        self._moved_at = self.events

    def _arrange(self) -> int:
        """Put what is ready in the order in which it runs; how much of it runs in this turn."""
        ready = self._ready
        if len(ready) < 2:
            return len(ready)
        now: list[Any] = []
        late: list[Any] = []
        tasks: list[Any] = []  # that came one after another, no callback between them
        for handle in ready:
            if not _is_task(handle._callback):
                self._shuffle(tasks)
                now += tasks
                now.append(handle)
                tasks = []
            elif self._chance.random() < LATE:
                late.append(handle)
            else:
                tasks.append(handle)
        self._shuffle(tasks)
        now += tasks
        ready.clear()
        ready.extend(now)
        ready.extend(late)
        return len(now)

    def _shuffle(self, tasks: list[Any]) -> None:
        if len(tasks) > 1:
            self._chance.shuffle(tasks)

    def _note(self, handle: Any) -> None:
        self.events += 1
        callback = handle._callback
        name = self._tasks[callback.__self__].label if _is_task(callback) else _name_of(callback)
        self._hash.update((self._stamp + name).encode())
        if self.events - self._moved_at > STANDSTILL:
            raise SimDeadlock(
                f"{STANDSTILL:,} events without any time passing: something runs in a circle; these tasks go on:"
                + "".join(f"\n  {line}" for line in self.waiting())
            )

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **rest: Any,
    ) -> asyncio.Task[T]:
        self._created += 1
        label = f"{getattr(coro, '__qualname__', type(coro).__qualname__)}#{self._created}"
        machine = machine_here.get() if context is None else context.get(machine_here, machine_here.get())
        if context is not None and machine is not None:
            context.run(machine_here.set, machine)
        task: asyncio.Task[T] = super().create_task(
            coro,
            name=label if name is None else str(name),
            context=context,
            **rest,
        )
        known = context if context is not None else copy_context()
        self._tasks[task] = _Known(self._created, label, machine, known)
        return task

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise NotSimulated("other threads")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        raise NotSimulated("threads, and so no look-up of hosts and no reading of files in the background")

    def _no_sockets(self, *args: Any, **kwargs: Any) -> Any:
        raise NotSimulated("sockets and pipes")

    def _no_processes(self, *args: Any, **kwargs: Any) -> Any:
        raise NotSimulated("processes")

    add_reader: Any = _no_sockets
    add_writer: Any = _no_sockets
    sock_connect: Any = _no_sockets
    create_unix_connection: Any = _no_sockets
    create_unix_server: Any = _no_sockets
    subprocess_exec: Any = _no_processes
    subprocess_shell: Any = _no_processes

    def _unfinished(self) -> list[asyncio.Task[Any]]:
        return sorted(asyncio.all_tasks(self), key=lambda task: self._tasks[task].number)

    def _is_crashed(self, task: asyncio.Task[Any]) -> bool:
        return self._tasks[task].machine in self._crashed


@dataclass(frozen=True, slots=True)
class _Known:
    """A task of this loop."""

    number: int  # in the order of creation
    label: str  # what it runs, and its number: the same in every process
    machine: object | None
    context: Context


def _is_task(callback: Any) -> bool:
    """Whether it is a task's next step, or its waking up before that."""
    if not isinstance(getattr(callback, "__self__", None), asyncio.Task):
        return False
    return getattr(callback, "__name__", None) in _STEPS


_STEPS = (None, "task_wakeup", "__step", "__wakeup")  # of tasks in C, and in Python


def _name_of(callback: Any) -> str:
    while isinstance(callback, partial):
        callback = callback.func
    name = getattr(callback, "__qualname__", None)
    return name if isinstance(name, str) else type(callback).__qualname__
