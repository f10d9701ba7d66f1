"""Calls that are given up after a time of the clock's; what readers read."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import pytest

from callboard.kernel.clock import ManualClock, SystemClock

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_a_call_gives_or_raises_in_time_is_passed_on() -> None:
    clock = ManualClock()

    async def give() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("no")

    assert await clock.limit(give(), 1.0) == 7
    with pytest.raises(ValueError, match="no"):
        await clock.limit(fail(), 1.0)
    assert clock.next_timer() is None


async def test_a_late_call_is_cancelled_and_not_waited_for() -> None:
    clock = ManualClock()
    heard: list[str] = []
    go_on = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            await go_on.wait()
            raise ValueError("too late to be of interest") from None

    waiting = asyncio.ensure_future(clock.limit(stubborn(), 1.0))
    await settle()
    clock.advance(1.0)
    with pytest.raises(TimeoutError):
        await waiting
    await settle()
    assert heard == ["cancelled"]
    go_on.set()
    await settle()


async def test_a_call_that_swaps_its_cancellation_for_another_is_late_too() -> None:
    """As clients do that clean up and raise anew: the caller must not be taken for cancelled."""
    clock = ManualClock()

    async def swaps() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise asyncio.CancelledError from None

    waiting = asyncio.ensure_future(clock.limit(swaps(), 1.0))
    await settle()
    clock.advance(1.0)
    with pytest.raises(TimeoutError):
        await waiting


async def test_a_call_that_is_given_up_from_within_counts_as_late() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError):
        await ManualClock().limit(gives_up(), 1.0)


async def test_cancelling_the_caller_cancels_the_call() -> None:
    clock = ManualClock()
    ended = asyncio.Event()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.ensure_future(clock.limit(call(), 1.0))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
    assert clock.next_timer() is None


def test_time_that_passes_in_steps_is_the_same_time() -> None:
    """What is due in a day is due when a day has passed, however often the clock stopped on the way."""
    clock = ManualClock()
    start_ms, ends = clock.wall_ms(), clock.monotonic() + 86_400
    chance = random.Random(1)
    for _ in range(20):
        clock.call_later(round(chance.uniform(0, 86_400), 4), lambda: None)

    clock.advance(ends - clock.monotonic())

    assert clock.wall_ms() == start_ms + 86_400_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere another clock counts sleep")
def test_steady_time_also_passes_while_the_machine_sleeps() -> None:
    steady = SystemClock().steady_reader()

    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    read = steady()

    assert before <= read <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_readers_read_what_the_clock_says() -> None:
    clock = ManualClock()
    wall_ms, monotonic, steady = clock.wall_reader(), clock.monotonic_reader(), clock.steady_reader()

    clock.advance(3.0)

    assert (wall_ms(), monotonic(), steady()) == (clock.wall_ms(), clock.monotonic(), clock.monotonic())
