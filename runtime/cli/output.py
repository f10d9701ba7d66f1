"""What commands print: JSON objects and tables to stdout, remarks to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from .failures import printable

if TYPE_CHECKING:
    from rich.table import Table

STYLES: Mapping[str, str] = {
    "available": "blue",
    "scheduled": "blue",
    "retryable": "yellow",
    "executing": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "dim",
    "discarded": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
    "paused": "yellow",
    "ready": "green",
    "draining": "yellow",
    "starting": "blue",
    "lost": "red",
    "storage_reset": "red",
}


class Column(NamedTuple):
    """A column of a table."""

    title: str
    is_number: bool = False
    is_state: bool = False  # coloured by its word
    is_label: bool = False  # names what stands beside it


def print_json(value: Mapping[str, object]) -> None:
    """One object, on stdout; `value` holds plain types only."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, has_header: bool = True) -> None:
    """Rows under a header, on stdout. A terminal gets colours, and the last column folded if the others leave it room.

    A pipe gets one line per row.
    """
    from rich.console import Console

    table = table_of(columns, rows, has_header=has_header)
    console = Console(highlight=False)
    width = console.width
    console.width = 10_000  # room to measure what the table takes
    size = console.measure(table)
    if console.is_terminal and size.minimum <= width:
        console.width = width
        console.print(table)
        return
    console.width = size.maximum  # where not even the last column can be folded, the terminal breaks lines at its edge
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def table_of(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, has_header: bool = True) -> Table:
    """Rows under a header, to be printed by rich."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=has_header)
    for number, column in enumerate(columns, 1):
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            style="dim" if column.is_label else "",
            overflow="fold",
            no_wrap=number < len(columns),
        )
    for row in rows:
        table.add_row(
            *(
                Text(printable(cell), style=STYLES.get(cell, "") if column.is_state else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    return table


def remark(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(printable(text), file=sys.stderr)


def iso(wall_ms: int | None) -> str | None:
    """Wall milliseconds as people and machines both read them: 2026-01-31T12:00:00.250Z."""
    if wall_ms is None:
        return None
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """A length of time in its two largest units: 4.2s, 3m 5s, 2h 10m, 5d 3h."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{unit} {rest}{small}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def since(wall_ms: int, now_ms: int, *, is_short: bool = False) -> str:
    """How far `wall_ms` lies from now: "5m 2s ago" or "in 5m 2s"; short, in its largest unit alone: "5m ago"."""
    seconds = (now_ms - wall_ms) / 1000
    length = span(abs(seconds))
    if is_short:
        length = length.split()[0]
    return f"{length} ago" if seconds >= 0 else f"in {length}"
