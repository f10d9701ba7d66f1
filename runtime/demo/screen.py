"""What the demo shows: a live bar on a terminal, plain lines elsewhere, and the report as tables at the end."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from ...kernel.clock import Clock
from .outcome import Outcome
from .report import Report

_LINE_EVERY_S = 1.0
_RATE_OVER_S = 2.0


class Screen:
    """Shows how far the run is. Used with `with`, so that an error or Ctrl-C leaves the terminal as it was."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque()  # (monotonic seconds, files done), the last two seconds
        self._last_line_at = clock.monotonic()
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("indexing"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,} of {task.total:,} files  {task.fields[rate]}  {task.fields[nodes]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(Text(_shown(line)), soft_wrap=not self._console.is_terminal)

    def progress(self, done: int, total: int, ready_nodes: int) -> None:
        """Show how many files are done. Cheap, so it may be called as often as one likes."""
        now = self._clock.monotonic()
        self._marks.append((now, done))
        while now - self._marks[0][0] > _RATE_OVER_S:
            self._marks.popleft()
        rate = f"{self._rate():,.0f}/s"
        nodes = f"{ready_nodes} node{'' if ready_nodes == 1 else 's'}"
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=total, completed=done, rate=rate, nodes=nodes)
            self._bar.update(self._task, total=total, completed=done, rate=rate, nodes=nodes)
        elif now - self._last_line_at >= _LINE_EVERY_S:
            self._last_line_at = now
            self.say(f"{done:,} of {total:,} files, {rate}, {nodes}")

    def _rate(self) -> float:
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - then) if now > then else 0.0


def show_outcome(console: Console, outcome: Outcome) -> None:
    """Print the report and what the run took."""
    report = outcome.report
    console.print()
    tables = Table.grid(padding=(0, 4))
    if console.width >= 100:
        tables.add_row(_largest(outcome), _most_imported(outcome))
    else:
        tables.add_row(_largest(outcome))
        tables.add_row("")
        tables.add_row(_most_imported(outcome))
    console.print(tables)
    if report.unparsed:
        console.print(Text("\nCould not be parsed: one attempt each, then failed", style="bold"))
        _show_unparsed(console, outcome)
        if more := outcome.failed - len(report.unparsed):
            console.print(Text(f"  and {more:,} more"))
    console.print()
    for line in (_code_line(report), _jobs_line(outcome), _speed_line(outcome)):
        console.print(Text(line), soft_wrap=not console.is_terminal)


def _code_line(report: Report) -> str:
    code = f"{report.code_lines:,} code lines, {report.functions:,} functions, {report.classes:,} classes"
    return f"{report.files:,} files, {report.parsed:,} parsed: {code}, {report.imports:,} imports"


def _jobs_line(outcome: Outcome) -> str:
    ends = f"{outcome.completed:,} completed, {outcome.failed:,} failed"
    return f"{outcome.jobs:,} jobs: {ends}, {outcome.attempts:,} attempts, {outcome.rescued:,} rescued"


def _speed_line(outcome: Outcome) -> str:
    return f"{outcome.seconds:.1f} s with {outcome.nodes} nodes: {outcome.jobs_per_second:,.0f} jobs/s"


def _show_unparsed(console: Console, outcome: Outcome) -> None:
    if not console.is_terminal:  # a line for each, whole, for whoever reads on
        for file in outcome.report.unparsed:
            console.print(Text(f"  {_shown(file.path)}: {_shown(file.why)}"), soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column(overflow="fold", max_width=console.width // 2)
    table.add_column(overflow="fold", style="dim")
    for file in outcome.report.unparsed:
        table.add_row(Text(_shown(file.path)), Text(_shown(file.why)))
    console.print(table)


def _largest(outcome: Outcome) -> Table:
    table = Table("largest modules", box=None, pad_edge=False)
    for column in ("code lines", "functions", "classes"):
        table.add_column(column, justify="right")
    table.columns[0].overflow = "fold"
    for module in outcome.report.largest:
        figures = (f"{count:,}" for count in (module.code_lines, module.functions, module.classes))
        table.add_row(Text(_shown(module.path)), *figures)
    return table


def _most_imported(outcome: Outcome) -> Table:
    table = Table("most imported modules", box=None, pad_edge=False)
    table.add_column("by files", justify="right")
    table.columns[0].overflow = "fold"
    for module in outcome.report.most_imported:
        table.add_row(Text(_shown(module.module)), f"{module.files:,}")
    return table


def _shown(text: str) -> str:
    # File names may hold control characters and bytes that are no text; a terminal should get neither.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
