"""Lengths of time, as people write them."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.durations import MAX_SECONDS, Duration, InvalidDuration, seconds
from callboard.kernel.errors import CallboardError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0.0),
        (2, 2.0),
        (2.5, 2.5),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read_as_seconds(written: Duration, expected: float) -> None:
    assert seconds(written) == expected
    assert type(seconds(written)) is float


@pytest.mark.parametrize(
    "written",
    [
        True,
        False,
        None,
        "",
        "30",
        "s",
        "30 s",
        " 30s",
        "30s\n",
        "-30s",
        "+30s",
        "1e3s",
        "30S",
        "5w",
        "1h30m",
        "٣s",
        "9" * 5000 + "s",
        b"30s",
        [30],
        -1,
        -0.001,
        -(10**400),
        timedelta(seconds=-1),
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        MAX_SECONDS + 1,
        "40000d",
        timedelta.max,
    ],
)
def test_what_is_no_duration_is_refused_on_one_line(written: Duration) -> None:
    with pytest.raises(InvalidDuration, match=r"^lease: expected ") as refusal:
        seconds(written, "lease")

    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200
    assert isinstance(refusal.value, CallboardError)
    assert isinstance(refusal.value, ValueError)


def test_a_refusal_shows_what_was_found() -> None:
    with pytest.raises(InvalidDuration, match=r'such as "30s".*found \'30 sec\''):
        seconds("30 sec")


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        length = seconds(text)
    except InvalidDuration:
        return

    assert 0 <= length <= MAX_SECONDS
