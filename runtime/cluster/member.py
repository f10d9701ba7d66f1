"""A place in a cluster: the node process that stands there now, and what follows when it ends.

asked to end                    nothing
asked to make way (a roll)      another process at once
exit code 0 without being asked nothing, until the next roll: an operator drained it
anything else                   another process, after a pause (`comeback.py`)
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from ...actors.node_log import NodeLog
from ...kernel.clock import Clock
from .bell import Bell
from .comeback import WELL_S, Comeback, after_crash

LOOK_S = 0.02  # at a ready file, which rings no bell, while a node starts


class Process(Protocol):
    """A node process, as `launch.py` starts one."""

    @property
    def pid(self) -> int: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def is_running(self) -> bool: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def last_words(self) -> str: ...
    def terminate(self) -> None: ...
    def interrupt(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Wish(Enum):
    """What is asked of a place, beyond keeping a node in it."""

    NOTHING = auto()
    ANOTHER = auto()  # process than the one that is there
    END = auto()


class Member:
    """One place, by name. `keep` runs beside whoever calls the rest, on the same event loop."""

    def __init__(
        self,
        name: str,
        launch: Callable[[str], Process],
        bell: Bell,
        *,
        clock: Clock,
        rng: random.Random,
        log: NodeLog,
        stuck_s: float,  # after being asked to end a node is killed
    ) -> None:
        self.name = name
        self.was_killed = False  # since it did not end when it was asked to
        self.starts = 0
        self._launch = launch
        self._bell = bell
        self._clock = clock
        self._rng = rng
        self._log = log
        self._stuck_s = stuck_s
        self._process: Process | None = None
        self._has_been_ready = False  # the process that is there
        self._wish = Wish.NOTHING
        self._asked_at: float | None = None  # since when the process that is there has known that it is to end
        self._crashes = 0  # in a row
        self._is_looping = False

    @property
    def is_ready(self) -> bool:
        """Whether a node stands here that claims jobs, as was told, and is to go on with it."""
        return (
            self._wish is Wish.NOTHING and self._process is not None and self._has_been_ready and self._process.is_ready
        )

    @property
    def is_running(self) -> bool:
        """Whether a process stands here."""
        return self._process is not None and self._process.is_running

    # What is asked of it.

    def replace(self) -> None:
        """Ask for another process: the one that is there drains first."""
        self._ask(Wish.ANOTHER)

    def end(self) -> None:
        """Ask the process to drain, and let nothing follow it."""
        self._ask(Wish.END)

    def hurry(self) -> None:
        """Interrupt a process that drains."""
        if self._process is not None:
            self._process.interrupt()

    def kill(self) -> None:
        """End the process on the spot."""
        if self.is_running and self._process is not None:
            self.was_killed = True
            self._process.kill()

    def _ask(self, wish: Wish) -> None:
        if self._wish is not Wish.END:
            self._wish = wish
        if self._process is not None and self._asked_at is None:  # a second signal would interrupt its jobs
            self._asked_at = self._clock.monotonic()
            self._process.terminate()
            self._tell("node drains", pid=self._process.pid)
        self._bell.ring()

    # Its life.

    async def keep(self) -> None:
        """Keep a node here until `end` is asked for; returns when no process is left."""
        while self._wish is not Wish.END:
            self._wish, self._asked_at, self._has_been_ready = Wish.NOTHING, None, False
            try:
                self._process = process = self._launch(self.name)
            except OSError as error:
                self.starts += 1
                await self._comes_back(f"could not be started: {error}", "", 0.0)
                continue
            self.starts += 1
            self._tell("node starts", pid=process.pid)
            self._bell.ring()
            ready_s = await self._watch(process)
            code = process.exit_code
            process.close()
            self._process = None
            self._bell.ring()
            await self._go_on(process, code or 0, ready_s)

    async def _watch(self, process: Process) -> float:
        """Until the process has ended; for how long it was ready."""
        await self._bell.until(lambda: process.is_ready or self._is_over(process), look_s=LOOK_S)
        ready_at = self._clock.monotonic() if process.is_ready else None
        if ready_at is not None:
            self._tell("node ready", pid=process.pid)
            self._has_been_ready = True
            self._bell.ring()
            if not await self._bell.until(lambda: self._is_over(process), within_s=WELL_S):
                self._is_well()
        await self._bell.until(lambda: self._is_over(process))
        if process.is_running:
            self._log.error("node does not end, and is killed", node=self.name, pid=process.pid)
            self.kill()
        return 0.0 if ready_at is None else self._clock.monotonic() - ready_at

    def _is_over(self, process: Process) -> bool:
        """It has ended, or has not although it was asked to long ago."""
        if not process.is_running:
            return True
        return self._asked_at is not None and self._clock.monotonic() - self._asked_at > self._stuck_s

    def _is_well(self) -> None:
        if self._is_looping:
            self._log.info("node runs well again", node=self.name, crashes=self._crashes)
        self._crashes = 0
        self._is_looping = False

    async def _go_on(self, process: Process, code: int, ready_s: float) -> None:
        if self._wish is not Wish.NOTHING:
            self._log.info("node ended", node=self.name, pid=process.pid, exit=exit_words(code))
        elif code == 0:
            self._log.warning("node was drained, and stays down until SIGHUP", node=self.name, pid=process.pid)
            self._is_well()
            await self._bell.until(lambda: self._wish is not Wish.NOTHING)
        else:
            await self._comes_back(exit_words(code), process.last_words, ready_s)

    async def _comes_back(self, how: str, last_words: str, ready_s: float) -> None:
        """Say what happened, and wait for as long as it takes until the next start."""
        comeback = after_crash(self._crashes, ready_s, self._rng)
        self._crashes = comeback.crashes
        if comeback.begins_loop:
            self._is_looping = True
            self._log.error(
                "node crashes again and again; it is tried on, later each time, and not told any more",
                node=self.name,
                crashes=comeback.crashes,
                exit=how,
                last_words=last_words,
            )
        elif not self._is_looping:
            self._say_crash(how, comeback)
        await self._bell.until(lambda: self._wish is not Wish.NOTHING, within_s=comeback.pause_s)

    def _say_crash(self, how: str, comeback: Comeback) -> None:
        restart_in = f"{comeback.pause_s:.2f} s"
        self._log.error("node crashed", node=self.name, exit=how, crashes=comeback.crashes, restart_in=restart_in)

    def _tell(self, event: str, **fields: object) -> None:
        """What is told of a node that does not crash again and again."""
        if not self._is_looping:
            self._log.info(event, node=self.name, **fields)


def exit_words(code: int) -> str:
    """An exit code as people know it: "exit code 1", "SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
