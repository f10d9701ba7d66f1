"""Statements kept as files beside the code that runs them: one statement a file, named as the port method.

A part between `/*each*/` and `/*end*/` stands for one row and is written once per row, with commas between, by
`Statement.rows`. So a whole batch is one statement, and one step of the database.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_EACH, _END = "/*each*/", "/*end*/"
_LARGEST = 64  # rows in one statement: longer ones cost memory in the statement cache and gain nothing


class Statement:
    """The text of one file; `text` is good for one row."""

    __slots__ = ("_head", "_row", "_tail", "_texts", "text")

    def __init__(self, source: str) -> None:
        lines = (line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("--"))
        self.text = "\n".join(lines)
        head, each, rest = self.text.partition(_EACH)
        self._row, end, self._tail = rest.partition(_END)
        if each and not end:
            raise ValueError(f"{_EACH} without {_END} in: {self.text}")
        self._head = head
        self._texts: dict[int, str] = {}

    def rows(self, count: int) -> str:
        """The statement with its marked part written `count` times; ValueError when it has none."""
        if not self._row:
            raise ValueError(f"no {_EACH} part in: {self.text}")
        text = self._texts.get(count)
        if text is None:
            text = self._texts[count] = self._head + ", ".join([self._row.strip()] * count) + self._tail
        return text


def chunks(total: int) -> list[tuple[int, int]]:
    """Cuts `total` rows into (start, count) with few different counts, so that prepared statements are met again.

    >>> chunks(70)
    [(0, 64), (64, 4), (68, 2)]
    """
    cut: list[tuple[int, int]] = []
    start = 0
    while (left := total - start) > 0:
        count = _LARGEST if left >= _LARGEST else 1 << (left.bit_length() - 1)
        cut.append((start, count))
        start += count
    return cut


@cache
def load(package: str, path: str) -> Statement:
    """The statement in `path` of `package`'s folder, as `load(__package__, "sql/jobs/insert.sql")`."""
    return Statement(files(package).joinpath(path).read_text("utf-8"))
