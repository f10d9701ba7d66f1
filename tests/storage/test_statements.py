"""Statements as files, and batches cut into few sizes."""

from __future__ import annotations

import pytest

from callboard.storage.statements import Statement, chunks


def test_the_marked_part_is_written_for_each_row() -> None:
    statement = Statement("-- why\nINSERT INTO t (a, b)\nVALUES /*each*/ (?, ?) /*end*/\nON CONFLICT DO NOTHING\n")

    assert statement.rows(2) == "INSERT INTO t (a, b)\nVALUES (?, ?), (?, ?)\nON CONFLICT DO NOTHING"


def test_a_statement_without_a_marked_part_is_for_one_row() -> None:
    statement = Statement("SELECT 1")

    assert statement.text == "SELECT 1"
    with pytest.raises(ValueError, match="no /\\*each\\*/ part"):
        statement.rows(2)


def test_a_marked_part_must_end() -> None:
    with pytest.raises(ValueError, match="without"):
        Statement("VALUES /*each*/ (?)")


@pytest.mark.parametrize("total", [0, 1, 2, 63, 64, 65, 100, 1000])
def test_chunks_cover_all_rows_once_in_few_sizes(total: int) -> None:
    cut = chunks(total)

    assert [row for start, count in cut for row in range(start, start + count)] == list(range(total))
    assert {count for _, count in cut} <= {1, 2, 4, 8, 16, 32, 64}
