"""What judges a storm does see each thing that may not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Record
from harness.verdict import Enqueues, Hit, Row, Verdict, judge

ROWS = [Row("a", 0, True, True, 1, 1), Row("b", 1, True, True, 2, 2)]
RECORDS = [
    Record("start", "a", 1, 1, 10, 0.0),
    Record("effect", "a", 1, 1, 10, 0.1),
    Record("start", "b", 1, 1, 11, 0.0),
    Record("start", "b", 2, 1, 12, 2.5),
    Record("effect", "b", 2, 1, 12, 2.6),
]
HITS = [Hit(11, 0.5)]
ENDS = [("a", 1), ("b", 2)]
BOTH = Enqueues(acknowledged=[[0, 1]])
GOOD = Verdict(
    lost=0,
    doubled=0,
    torn=0,
    stuck=0,
    stale_accepted=0,
    wrong_counts=0,
    unexplained_starts=0,
    dup_effects=0,
    dup_starts=1,
    max_recovery_s=2.0,
)


@pytest.mark.parametrize(
    "enqueues",
    [
        BOTH,
        Enqueues(acknowledged=[[0]], unknown=[[1]]),
        Enqueues(acknowledged=[[0], [1]], refused=[[2, 3]], unknown=[[4]]),
    ],
)
def test_a_storm_in_order_passes(enqueues: Enqueues) -> None:
    verdict = judge(enqueues, ROWS, RECORDS, HITS, ENDS, 0)

    assert verdict == GOOD
    assert verdict.problems(1) == []


@pytest.mark.parametrize(
    ("enqueues", "rows", "records", "ends", "expected"),
    [
        pytest.param(
            Enqueues([[0, 1], [2]]), ROWS, RECORDS, ENDS, replace(GOOD, lost=1), id="acknowledged but not stored"
        ),
        pytest.param(Enqueues([[0]]), ROWS, RECORDS, ENDS, replace(GOOD, doubled=1), id="stored but never enqueued"),
        pytest.param(
            Enqueues([[0]], refused=[[1]]), ROWS, RECORDS, ENDS, replace(GOOD, doubled=1), id="stored but refused"
        ),
        pytest.param(
            Enqueues([[0]], unknown=[[1]]),
            [*ROWS, Row("c", 1, True, True, 1, 1)],
            [*RECORDS, Record("start", "c", 1, 1, 10, 0.0), Record("effect", "c", 1, 1, 10, 0.1)],
            [*ENDS, ("c", 1)],
            replace(GOOD, doubled=1),
            id="one enqueue made two jobs",
        ),
        pytest.param(
            Enqueues(unknown=[[0, 1, 2]]), ROWS, RECORDS, ENDS, replace(GOOD, torn=1), id="a part of a batch is stored"
        ),
        pytest.param(
            BOTH, ROWS, [*RECORDS[:1], *RECORDS[2:]], ENDS, replace(GOOD, lost=1), id="completed without its effect"
        ),
        pytest.param(
            BOTH,
            [replace(ROWS[0], is_completed=False, answer=None), ROWS[1]],
            RECORDS,
            ENDS,
            replace(GOOD, lost=1),
            id="ended otherwise",
        ),
        pytest.param(
            BOTH,
            [replace(ROWS[0], is_terminal=False, is_completed=False, answer=None), ROWS[1]],
            RECORDS,
            ENDS[1:],
            replace(GOOD, stuck=1),
            id="never ended",
        ),
        pytest.param(BOTH, ROWS, RECORDS, [*ENDS, ("b", 1)], replace(GOOD, stale_accepted=1), id="two ends accepted"),
        pytest.param(
            BOTH, ROWS, RECORDS, [ENDS[0], ("b", 1)], replace(GOOD, stale_accepted=1), id="the stale end stands"
        ),
        pytest.param(
            BOTH,
            [ROWS[0], replace(ROWS[1], answer=1)],
            RECORDS,
            ENDS,
            replace(GOOD, stale_accepted=1),
            id="the zombie's answer stands",
        ),
        pytest.param(
            BOTH,
            ROWS,
            [RECORDS[0], RECORDS[1], RECORDS[2]._replace(pid=10), *RECORDS[3:]],
            ENDS,
            replace(GOOD, unexplained_starts=1, max_recovery_s=0.0),
            id="begun again while its process was well",
        ),
    ],
)
def test_what_may_not_be_is_seen(
    enqueues: Enqueues, rows: list[Row], records: list[Record], ends: list[tuple[str, int]], expected: Verdict
) -> None:
    verdict = judge(enqueues, rows, records, HITS, ends, 0)

    assert verdict == expected
    assert len(verdict.problems(1)) == 1


def test_a_counter_that_a_recount_contradicts_is_seen() -> None:
    assert judge(BOTH, ROWS, RECORDS, HITS, ENDS, 1).problems(1) == ["wrong_counts=1"]


def test_a_start_is_explained_by_a_stop_that_fell_into_the_attempt() -> None:
    stopped, before, after = Hit(11, 0.5, 2.7), Hit(11, -2.0, -1.0), Hit(11, 2.6, 2.7)

    found = [judge(BOTH, ROWS, RECORDS, [hit], ENDS, 0).unexplained_starts for hit in (stopped, before, after)]

    assert found == [0, 1, 1]


def test_effects_done_twice_are_held_against_what_is_allowed() -> None:
    again = [*RECORDS, Record("effect", "b", 1, 1, 11, 0.4), Record("effect", "a", 1, 1, 10, 0.2)]

    verdict = judge(BOTH, ROWS, again, HITS, ENDS, 0)

    assert verdict.dup_effects == 2
    assert verdict.problems(2) == []
    assert verdict.problems(1) == ["dup_effects=2 of 1 allowed"]
