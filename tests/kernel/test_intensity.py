"""How often and how soon children are restarted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.intensity import Backoff, Intensity


@given(
    gaps=st.lists(st.integers(0, 10), max_size=50),
    max_restarts=st.integers(0, 5),
    within_s=st.integers(1, 20),
)
def test_it_is_exceeded_when_any_window_holds_too_many(gaps: list[int], max_restarts: int, within_s: int) -> None:
    intensity = Intensity(max_restarts, within_s)
    times: list[int] = []
    now = 0

    for gap in gaps:
        now += gap
        times.append(now)

        exceeded = intensity.exceeded(now)

        assert exceeded == (sum(time >= now - within_s for time in times) > max_restarts)


def test_without_a_limit_it_is_never_exceeded() -> None:
    intensity = Intensity(None, 1.0)

    assert not any(intensity.exceeded(0.0) for _ in range(1_000))


@given(
    initial=st.floats(0.001, 10),
    factor=st.floats(1, 10),
    failures=st.integers(1, 10_000),
    seed=st.integers(0, 1_000),
)
def test_a_pause_lies_between_half_and_all_of_the_capped_power(
    initial: float, factor: float, failures: int, seed: int
) -> None:
    cap = 60.0

    pause_s = Backoff(initial, factor, cap).delay_s(failures, random.Random(seed))

    full = initial
    for _ in range(failures - 1):
        full = min(full * factor, cap)
    assert full / 2 * 0.999 <= pause_s <= full * 1.001  # many small steps round differently from one power


@pytest.mark.parametrize(("initial", "factor", "cap"), [(0.0, 2.0, 60.0), (1.0, 0.5, 60.0), (5.0, 2.0, 1.0)])
def test_a_backoff_that_cannot_be_is_refused(initial: float, factor: float, cap: float) -> None:
    with pytest.raises(ValueError, match="expected initial > 0, factor >= 1 and cap >= initial"):
        Backoff(initial, factor, cap)
