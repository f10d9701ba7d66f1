"""What commands print: tables for terminals and pipes, times, plain values."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from callboard.runtime.cli.describe import plain
from callboard.runtime.cli.output import Column, iso, print_table, since, span

COLUMNS = (Column("NAME"), Column("STATE", is_state=True), Column("N", is_number=True), Column("TEXT"))
ROWS = [["a", "failed", "1", "one two three four five six"], ["longer", "completed", "20", ""]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    return monkeypatch


def test_a_pipe_gets_one_plain_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS)

    assert capsys.readouterr().out == (
        "NAME    STATE       N  TEXT\na       failed      1  one two three four five six\nlonger  completed  20\n"
    )


def test_a_terminal_gets_colours_and_the_last_column_folded(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "40")

    print_table(COLUMNS, ROWS)

    lines = capsys.readouterr().out.splitlines()
    assert "\x1b[31mfailed" in lines[1]
    assert "\x1b[32mcompleted" in lines[3]
    assert [line.split()[-1] for line in lines[1:3]] == ["three", "six"]


def test_a_terminal_too_narrow_for_the_rest_gets_whole_rows(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "20")

    print_table(COLUMNS, ROWS)

    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_cell_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("NAME"),), [["\x1b[2Jgone [red]not markup[/red]"]])

    assert capsys.readouterr().out.splitlines()[1] == "\\x1b[2Jgone [red]not markup[/red]"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0s"), (9.94, "9.9s"), (59, "59s"), (60, "1m"), (3_599, "59m 59s"), (7_260, "2h 1m"), (90_000, "1d 1h")],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


def test_a_moment_is_said_from_now() -> None:
    assert since(1_000, 66_000) == "1m 5s ago"
    assert since(66_000, 1_000) == "in 1m 5s"
    assert since(1_000, 66_000, is_short=True) == "1m ago"
    assert (iso(1_700_000_000_250), iso(None)) == ("2023-11-14T22:13:20.250Z", None)


def test_stored_values_become_plain_ones() -> None:
    value = {
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "long": timedelta(minutes=1),
        "raw": b"\x00\xff",
        "tuple": (1, None, True),
        "set": {2, 1},
        3: Decimal("1.50"),
        "id": UUID(int=1),
        "odd": [math.inf, math.nan],
    }

    assert plain(value) == {
        "when": "2026-01-02T00:00:00+00:00",
        "long": 60.0,
        "raw": "AP8=",
        "tuple": [1, None, True],
        "set": [1, 2],
        "3": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "odd": ["inf", "nan"],
    }
