"""Runs a whole program, runtimes and all, in virtual time and in an order that a seed decides.

    def test_no_job_is_lost() -> None:
        simulate(main, seed=7)        # main: an async function without arguments

What `main` opens gets the simulation's clock, chance and ids. Memory stands in for every store: runtimes with one URL
share it, as nodes share a database, except that each `memory://` is its own, as it is outside. Plain handlers run on
the event loop. The same seed gives the same run, event for event, in every process and on every machine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..kernel.clock import Clock, Timer
from ..kernel.errors import CallboardError
from .environment import Environment, environment_of
from .sim_loop import SimLoop, machine_here
from .sim_stores import SimStores

T = TypeVar("T")

BEGAN_MS = 1_700_000_000_000  # wall time at the beginning of every simulation: 14 November 2023, 22:13:20 UTC


@dataclass(frozen=True, slots=True)
class Simulation(Generic[T]):
    """How a simulation went."""

    value: T  # what main returned
    seed: int
    events: int  # steps of tasks and callbacks that ran
    virtual_s: float  # seconds that passed within
    event_hash: str  # over all events and their times: equal hashes, equal runs


def simulate(main: Callable[[], Coroutine[Any, Any, T]], *, seed: int = 0) -> Simulation[T]:
    """Run `main()` on an event loop of its own, with virtual time, and print one line about it.

    The line has the seed, the number of events, the virtual seconds and the event hash; it comes when `main` raises,
    too, and then it is added to the exception as a note. Raises what `main` raises, `SimDeadlock` when nothing can
    happen any more (with the tasks that wait, and where), and `RuntimeError` where an event loop runs already.
    """
    _refuse_a_running_loop()
    loop = SimLoop(seed)
    environment = Environment(
        MachineClock(loop),
        random.Random(seed),
        random.Random(f"entropy, {seed}").randbytes,
        runs_threads=False,
        beats_in_thread=False,
        store_of=SimStores(SimClock(loop), seed),
    )
    try:
        with environment_of(loop, environment):
            try:
                value = loop.run_until_complete(main())
            except BaseException as error:
                error.add_note(_line(loop, seed))
                raise
            finally:
                print(_line(loop, seed))
                result = (loop.events, loop.time(), loop.event_hash)
                loop.unwind()
    finally:
        loop.close()
    return Simulation(value, seed, *result)


class Machine:
    """One computer of a simulation: runs `main()` until that returns, or until it crashes.

    Made within `simulate`. Whatever `main` starts belongs to it, actors and attempts of the runtimes it opens too.
    Its wall clock may be `ahead_s` seconds ahead of the stores' (or behind: below 0), and jumps when that is set anew,
    which no job should notice: on a network, what a runtime does goes by its store's clock. Its clocks may gain `drift`
    seconds in each. The event loop itself, and so `asyncio.sleep`, keeps the true time.
    """

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, None]],
        *,
        name: str = "machine",
        ahead_s: float = 0.0,
        drift: float = 0.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimLoop):
            raise CallboardError("a Machine is part of a simulation: make it within simulate(main)")
        if not drift > -1:
            raise CallboardError(f"drift: expected more than -1, a clock that goes on, found {drift!r}")
        self.ahead_s = ahead_s
        self.drift = drift
        self._loop = loop
        self._ended: asyncio.Future[None] = loop.create_future()
        context = copy_context()
        context.run(machine_here.set, self)
        self._task = loop.create_task(main(), name=name, context=context)
        self._task.add_done_callback(self._end)

    @property
    def is_up(self) -> bool:
        """Whether it still runs."""
        return not self._ended.done()

    def crash(self) -> None:
        """Cut the power: nothing of it runs any more, no cleanup and no last write. Leases stay until they expire."""
        self._loop.crash(self)
        self._end(None)

    def freeze(self) -> None:
        """Stop it as SIGSTOP does: nothing of it runs until `thaw`, while time passes and its leases expire."""
        self._loop.freeze(self)

    def thaw(self) -> None:
        """Let it go on where it was, not knowing that time has passed."""
        self._loop.thaw(self)

    async def ended(self) -> None:
        """Wait until it has crashed or `main` has returned; raises what that raised."""
        await asyncio.shield(self._ended)

    def _end(self, task: asyncio.Task[None] | None) -> None:
        if self._ended.done():
            return
        error = None if task is None or task.cancelled() else task.exception()
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


class SimClock(Clock):
    """The clock of a simulation's loop, and of its stores; wall and monotonic time go together."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        return BEGAN_MS + int(self._loop.time() * 1000)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(delay_s, callback)


class MachineClock(Clock):
    """The clock of the machine on which it is read; on no machine the true one."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time() * _pace()

    def wall_ms(self) -> int:
        machine = machine_here.get()
        ahead_s = machine.ahead_s if isinstance(machine, Machine) else 0.0
        return BEGAN_MS + int((self.monotonic() + ahead_s) * 1000)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(delay_s / _pace(), callback)


def _pace() -> float:
    """Seconds of this machine's clocks in a true one."""
    machine = machine_here.get()
    return 1.0 + machine.drift if isinstance(machine, Machine) else 1.0


def _line(loop: SimLoop, seed: int) -> str:
    return f"SIM seed={seed} events={loop.events} virtual_s={loop.time():.3f} hash={loop.event_hash}"


def _refuse_a_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("simulate() owns its event loop: call it from a plain function, not from async code")
