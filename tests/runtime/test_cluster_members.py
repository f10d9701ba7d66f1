"""Places of a cluster in time that a test moves on: what follows when the process in one ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from callboard.actors.node_log import NodeLog
from callboard.kernel.clock import ManualClock
from callboard.runtime.cluster.bell import Bell
from callboard.runtime.cluster.comeback import LOOP, WELL_S
from callboard.runtime.cluster.member import Member, exit_words

STUCK_S = 30.0


@dataclass
class StandIn:
    """A process that does what the test says."""

    pid: int
    exit_code: int | None = None
    is_claiming: bool = False
    terms: int = 0  # how often it was asked to drain
    interrupts: int = 0
    was_closed: bool = False
    last_words: str = "its last words"

    @property
    def is_running(self) -> bool:
        return self.exit_code is None

    @property
    def is_ready(self) -> bool:
        return self.is_running and self.is_claiming

    def terminate(self) -> None:
        self.terms += 1

    def interrupt(self) -> None:
        self.interrupts += 1

    def kill(self) -> None:
        self.exit_code = -9

    def close(self) -> None:
        self.was_closed = True


class Told(NodeLog):
    """Keeps what is told."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


@dataclass
class Stage:
    """One place, its time, and every process that stood in it."""

    clock: ManualClock = field(default_factory=ManualClock)
    log: Told = field(default_factory=Told)
    processes: list[StandIn] = field(default_factory=list)
    begin: Callable[[StandIn], None] = lambda process: None  # done to each process at its start

    def __post_init__(self) -> None:
        self.bell = Bell(self.clock)
        self.member = Member(
            "node-1",
            self._launch,
            self.bell,
            clock=self.clock,
            rng=random.Random(1),
            log=self.log,
            stuck_s=STUCK_S,
        )

    def _launch(self, name: str) -> StandIn:
        process = StandIn(1000 + len(self.processes))
        self.begin(process)
        self.processes.append(process)
        return process

    @property
    def latest(self) -> StandIn:
        return self.processes[-1]

    async def settle(self) -> None:
        """Let everything happen that no time has to pass for."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Time passes, in steps, so that whoever waits sees each."""
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            self.clock.advance(min(left, step))
            await self.settle()

    async def becomes_ready(self) -> None:
        self.latest.is_claiming = True
        await self.pass_time(0.1)

    async def ends(self, code: int) -> None:
        self.latest.exit_code = code
        self.bell.ring()
        await self.settle()


@asynccontextmanager
async def kept(begin: Callable[[StandIn], None] = lambda process: None) -> AsyncIterator[Stage]:
    stage = Stage(begin=begin)
    keeping = asyncio.create_task(stage.member.keep())
    await stage.settle()
    yield stage
    stage.member.end()
    while not keeping.done():
        if stage.member.is_running:
            stage.latest.exit_code = 0
        await stage.pass_time(0.05)
    await keeping


async def test_a_crash_is_followed_by_another_process_after_a_pause() -> None:
    async with kept() as stage:
        await stage.becomes_ready()
        await stage.ends(-11)
        at_once = len(stage.processes)
        await stage.pass_time(0.1)

        assert (at_once, len(stage.processes)) == (1, 2)
        assert stage.processes[0].was_closed
        assert ("node crashed", "SIGSEGV") in [(event, fields.get("exit")) for event, fields in stage.log.lines]


async def test_an_hour_of_crashes_is_told_once_and_bears_few_starts() -> None:
    def fail(process: StandIn) -> None:
        process.exit_code = 1

    async with kept(fail) as stage:
        await stage.pass_time(3600.0, 0.5)
        events = stage.log.events()

    loops = [fields for event, fields in stage.log.lines if event.startswith("node crashes again and again")]
    assert [(loop["crashes"], loop["last_words"]) for loop in loops] == [(LOOP, "its last words")]
    assert events.count("node crashed") == LOOP - 1
    assert events.count("node starts") == LOOP
    assert LOOP < len(stage.processes) <= 3600 / 5 + 10


async def test_after_a_loop_a_node_that_runs_well_is_told_and_begins_anew() -> None:
    async with kept() as stage:
        for _ in range(LOOP):
            await stage.ends(1)
            await stage.pass_time(10.0)
        await stage.becomes_ready()
        quiet = stage.log.events().count("node ready")
        await stage.pass_time(WELL_S)
        await stage.ends(1)

        assert quiet == 0
        assert "node runs well again" in stage.log.events()
        assert stage.log.lines[-1][0] == "node crashed"
        assert stage.log.lines[-1][1]["crashes"] == 1


async def test_a_machine_without_a_process_to_give_is_asked_again() -> None:
    failures = iter([OSError("Resource temporarily unavailable")])

    def refuse_once(process: StandIn) -> None:
        for failure in failures:
            raise failure

    async with kept(refuse_once) as stage:
        before = len(stage.processes)
        await stage.pass_time(0.1)

        assert (before, len(stage.processes)) == (0, 1)
        assert "Resource temporarily unavailable" in stage.log.lines[0][1]["exit"]


async def test_a_drained_node_stays_down_until_another_is_asked_for() -> None:
    async with kept() as stage:
        await stage.becomes_ready()
        await stage.ends(0)
        await stage.pass_time(3600.0, 0.5)
        before = len(stage.processes)
        stage.member.replace()
        await stage.settle()

        assert (before, len(stage.processes)) == (1, 2)
        assert stage.processes[0].terms == 0


async def test_asked_twice_a_process_is_told_once() -> None:
    """A second signal would interrupt its jobs: that is for `hurry` alone."""
    async with kept() as stage:
        await stage.becomes_ready()
        stage.member.replace()
        stage.member.end()
        before = (stage.latest.terms, stage.latest.interrupts)
        stage.member.hurry()

        assert before == (1, 0)
        assert (stage.latest.terms, stage.latest.interrupts) == (1, 1)
        await stage.ends(0)
        await stage.pass_time(60.0)
        assert len(stage.processes) == 1


@pytest.mark.parametrize("is_claiming", [True, False])
async def test_a_process_that_does_not_end_is_killed(is_claiming: bool) -> None:
    async with kept() as stage:
        if is_claiming:
            await stage.becomes_ready()
        stage.member.replace()
        await stage.pass_time(STUCK_S - 1)
        before = stage.latest.exit_code
        await stage.pass_time(5.0)

        assert (before, stage.processes[0].exit_code) == (None, -9)
        assert stage.member.was_killed
        assert len(stage.processes) == 2


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-250, "signal 250")]
)
def test_exit_codes_are_told_as_people_know_them(code: int, words: str) -> None:
    assert exit_words(code) == words


async def test_a_node_counts_as_ready_once_it_was_told_to_be() -> None:
    """Else a roll could take the next one before anybody who reads the lines knows of this one."""
    async with kept() as stage:
        stage.latest.is_claiming = True
        before = stage.member.is_ready
        await stage.pass_time(0.1)

        assert (before, stage.member.is_ready) == (False, True)
        assert "node ready" in stage.log.events()
