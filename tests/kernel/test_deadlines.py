"""One swept list of deadlines for a node."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.kernel.deadlines import SWEEP_S, Deadlines


class Wait:
    def __init__(self, name: str, deadline: float, expired: list[str]) -> None:
        self.name = name
        self.deadline = deadline
        self.expired = expired

    def expire(self) -> None:
        self.expired.append(self.name)


def test_what_is_listed_expires_in_its_order_and_at_most_a_sweep_late() -> None:
    clock = ManualClock(monotonic=0.0)
    deadlines = Deadlines(clock)
    expired: list[str] = []
    for name, deadline in (("late", 0.30), ("first", 0.12), ("second", 0.11)):
        deadlines.add(Wait(name, deadline, expired))

    clock.advance(0.11 + SWEEP_S)

    assert expired == ["first", "second"]
    clock.advance(0.15 + SWEEP_S)
    assert expired == ["first", "second", "late"]


def test_what_was_taken_out_does_not_expire() -> None:
    clock = ManualClock(monotonic=0.0)
    deadlines = Deadlines(clock)
    expired: list[str] = []
    wait = Wait("answered", 0.1, expired)
    deadlines.add(wait)

    del deadlines.waiting[wait]
    clock.advance(1.0)

    assert expired == []


def test_an_idle_list_sets_no_timer() -> None:
    clock = ManualClock(monotonic=0.0)
    deadlines = Deadlines(clock)
    expired: list[str] = []

    deadlines.add(Wait("only", 0.1, expired))
    clock.advance(1.0)

    assert expired == ["only"]
    assert clock.next_timer() is None


def test_what_is_added_by_what_expires_is_seen_too() -> None:
    clock = ManualClock(monotonic=0.0)
    deadlines = Deadlines(clock)
    expired: list[str] = []

    class Again(Wait):
        def expire(self) -> None:
            super().expire()
            deadlines.add(Wait("second", 0.2, expired))

    deadlines.add(Again("first", 0.1, expired))
    clock.advance(1.0)

    assert expired == ["first", "second"]
