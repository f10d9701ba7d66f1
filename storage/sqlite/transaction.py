"""One transaction of the writer: statements, and what they mean for the counters."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..statements import Statement, chunks, load

Value = bytes | str | int | None

_COUNTED = load(__package__, "sql/queues/counted.sql")
_KNOWN = load(__package__, "sql/queues/known.sql")


class Shortfall(Exception):
    """A batch statement touched fewer rows than it named. The transaction is rolled back and done again carefully."""


class Transaction:
    """What a verb works with. The writer begins and commits it.

    `is_careful` False: verbs write whole batches and raise `Shortfall` when a row did not match, which is rare. True:
    they go row by row and find out which.
    """

    __slots__ = ("_connection", "_known_queues", "_moves", "is_careful", "lease_now", "new_queues", "now")

    def __init__(
        self,
        connection: sqlite3.Connection | sqlite3.Cursor,
        *,
        now: int,
        lease_now: int,
        is_careful: bool,
        known_queues: set[str],
    ) -> None:
        self._connection = connection
        self._known_queues = known_queues
        self._moves: dict[tuple[str, int], int] = {}
        self.now = now  # wall milliseconds
        self.lease_now = lease_now  # milliseconds of the lease clock
        self.is_careful = is_careful
        self.new_queues: set[str] = set()  # become known with the commit

    def one(
        self, statement: Statement, parameters: Sequence[Value] | dict[str, Value] = ()
    ) -> tuple[Value, ...] | None:
        """The first row of an answer that has at most one."""
        rows = self.all(statement, parameters)
        return rows[0] if rows else None

    def all(self, statement: Statement, parameters: Sequence[Value] | dict[str, Value] = ()) -> list[tuple[Value, ...]]:
        """All rows of an answer."""
        return self._connection.execute(statement.text, parameters).fetchall()

    def write(self, statement: Statement, parameters: Sequence[Value] | dict[str, Value] = ()) -> int:
        """How many rows a single statement changed."""
        return self._connection.execute(statement.text, parameters).rowcount

    def write_rows(
        self, statement: Statement, values: Sequence[Value], width: int, *, first: Sequence[Value] = ()
    ) -> int:
        """How many rows a statement changed that names many: `values` holds `width` for each, `first` goes before."""
        changed = 0
        for start, count in chunks(len(values) // width):
            part = values[start * width : (start + count) * width]
            changed += self._connection.execute(statement.rows(count), [*first, *part]).rowcount
        return changed

    def read_rows(self, statement: Statement, ids: Sequence[bytes]) -> list[tuple[Value, ...]]:
        """All rows of an answer about many ids."""
        found: list[tuple[Value, ...]] = []
        for start, count in chunks(len(ids)):
            found += self._connection.execute(statement.rows(count), ids[start : start + count]).fetchall()
        return found

    def moved(self, queue: str, source: int | None, target: int | None, count: int = 1) -> None:
        """Jobs of `queue` left state `source` for `target`; None: they were not there before, or are gone."""
        moves = self._moves
        if source is not None:
            moves[queue, source] = moves.get((queue, source), 0) - count
        if target is not None:
            moves[queue, target] = moves.get((queue, target), 0) + count

    def make_queue(self, queue: str) -> None:
        """Make a queue's row if it has none."""
        self.write(_KNOWN, (queue,))

    def settle(self) -> None:
        """Write what the verbs added up; the last thing before the commit."""
        self.new_queues = {queue for queue, _ in self._moves} - self._known_queues
        if self.new_queues:
            self.write_rows(_KNOWN, sorted(self.new_queues), 1)
        values: list[Value] = []
        for (queue, state), count in self._moves.items():
            if count:
                values += (queue, state, count)
        self.write_rows(_COUNTED, values, 3)
