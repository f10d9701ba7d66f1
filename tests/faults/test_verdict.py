"""What judges a storm does see each thing that may not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Record
from harness.verdict import Kill, Row, Verdict, judge

ROWS = [Row("a", True, True, 1, 1), Row("b", True, True, 2, 2)]
RECORDS = [
    Record("start", "a", 1, 1, 10, 0.0),
    Record("effect", "a", 1, 1, 10, 0.1),
    Record("start", "b", 1, 1, 11, 0.0),
    Record("start", "b", 2, 1, 12, 2.5),
    Record("effect", "b", 2, 1, 12, 2.6),
]
KILLS = [Kill(11, 0.5)]
ENDS = [("a", 1), ("b", 2)]
GOOD = Verdict(
    lost=0, stuck=0, stale_accepted=0, wrong_counts=0, dup_effects=0, dup_starts=1, max_recovery_s=2.0
)  # fmt: skip


def test_a_storm_in_order_passes() -> None:
    verdict = judge(["a", "b"], ROWS, RECORDS, KILLS, ENDS, 0)

    assert verdict == GOOD
    assert verdict.problems(kills=1, dups_per_kill=1) == []


@pytest.mark.parametrize(
    ("enqueued", "rows", "records", "ends", "expected"),
    [
        pytest.param(["a", "b", "c"], ROWS, RECORDS, ENDS, replace(GOOD, lost=1), id="acknowledged but not stored"),
        pytest.param(["a"], ROWS, RECORDS, ENDS, replace(GOOD, lost=1), id="stored but never enqueued"),
        pytest.param(
            ["a", "b"],
            ROWS,
            [*RECORDS[:1], *RECORDS[2:]],
            ENDS,
            replace(GOOD, lost=1),
            id="completed without its effect",
        ),
        pytest.param(
            ["a", "b"],
            [replace(ROWS[0], is_completed=False, answer=None), ROWS[1]],
            RECORDS,
            ENDS,
            replace(GOOD, lost=1),
            id="ended otherwise",
        ),
        pytest.param(
            ["a", "b"],
            [replace(ROWS[0], is_terminal=False, is_completed=False, answer=None), ROWS[1]],
            RECORDS,
            ENDS[1:],
            replace(GOOD, stuck=1),
            id="never ended",
        ),
        pytest.param(
            ["a", "b"],
            ROWS,
            RECORDS,
            [*ENDS, ("b", 1)],
            replace(GOOD, stale_accepted=1),
            id="two ends accepted",
        ),
        pytest.param(
            ["a", "b"],
            ROWS,
            RECORDS,
            [ENDS[0], ("b", 1)],
            replace(GOOD, stale_accepted=1),
            id="the stale end stands",
        ),
        pytest.param(
            ["a", "b"],
            [ROWS[0], replace(ROWS[1], answer=1)],
            RECORDS,
            ENDS,
            replace(GOOD, stale_accepted=1),
            id="the zombie's answer stands",
        ),
    ],
)
def test_what_may_not_be_is_seen(
    enqueued: list[str], rows: list[Row], records: list[Record], ends: list[tuple[str, int]], expected: Verdict
) -> None:
    verdict = judge(enqueued, rows, records, KILLS, ends, 0)

    assert verdict == expected
    assert len(verdict.problems(kills=1, dups_per_kill=1)) == 1


def test_effects_done_twice_are_held_against_the_kills() -> None:
    again = [*RECORDS, Record("effect", "b", 1, 1, 11, 0.4), Record("effect", "a", 1, 1, 10, 0.2)]

    verdict = judge(["a", "b"], ROWS, again, KILLS, ENDS, 0)

    assert verdict.dup_effects == 2
    assert verdict.problems(kills=2, dups_per_kill=1) == []
    assert verdict.problems(kills=1, dups_per_kill=1) == ["dup_effects=2 of 1 kills"]
