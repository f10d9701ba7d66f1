"""When a crashed node process is started again: the policy alone."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest

from callboard.runtime.cluster.comeback import LOOP, WELL_S, after_crash

RNG = random.Random(1)


def test_pauses_double_from_a_tenth_of_a_second_to_ten() -> None:
    full = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]

    for before, expected in enumerate(full):
        pauses = [after_crash(before, 0.0, random.Random(seed)).pause_s for seed in range(50)]
        assert expected / 2 <= min(pauses) < max(pauses) <= expected


def test_a_row_of_crashes_becomes_a_loop_once() -> None:
    row = [after_crash(before, 0.0, RNG) for before in range(2 * LOOP)]

    assert [comeback.crashes for comeback in row] == list(range(1, 2 * LOOP + 1))
    assert [comeback.begins_loop for comeback in row].count(True) == 1
    assert [comeback.is_loop for comeback in row] == [False] * (LOOP - 1) + [True] * (LOOP + 1)


@pytest.mark.parametrize(("ready_s", "crashes"), [(0.0, 8), (WELL_S / 2, 8), (WELL_S, 1), (3600.0, 1)])
def test_a_node_that_ran_well_begins_anew(ready_s: float, crashes: int) -> None:
    assert after_crash(7, ready_s, RNG).crashes == crashes


def test_a_node_that_never_starts_is_tried_seldom() -> None:
    """An hour of crashes at once: no more starts than ten seconds' half allows, and a few at the beginning."""
    pauses = [after_crash(before, 0.0, RNG).pause_s for before in range(10_000)]

    starts = sum(at < 3600 for at in accumulate(pauses))
    assert starts <= 3600 / 5 + 8


def test_a_row_without_end_does_not_overflow() -> None:
    assert after_crash(1_000_000, 0.0, RNG).pause_s <= 10.0
