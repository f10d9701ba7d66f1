"""The fan-in: many indexed files become one report. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .index import IndexedFile

_TOP = 10
UNPARSED_SHOWN = 1000  # a result is at most 1 MiB; how many there were in all is `files - parsed`
_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Largest:
    """A module among the largest."""

    path: str
    code_lines: int
    functions: int
    classes: int


@dataclass(frozen=True, slots=True)
class MostImported:
    """A module among the most imported."""

    module: str
    files: int  # how many files import it, each counted once


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A file whose job failed, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What stands in a folder of Python files. It is the result of the last job."""

    files: int
    parsed: int
    code_lines: int
    functions: int
    classes: int
    imports: int
    largest: list[Largest]  # ten, by code lines
    most_imported: list[MostImported]  # ten, by the number of importing files
    unparsed: list[Unparsed]  # by path, the first 1,000


@dataclass(slots=True)
class Tally:
    """Adds files up in any order; the same files always give the same report."""

    parsed: int = 0
    code_lines: int = 0
    functions: int = 0
    classes: int = 0
    imports: int = 0
    _largest: list[Largest] = field(default_factory=list)
    _importers: Counter[str] = field(default_factory=Counter)
    _unparsed: list[Unparsed] = field(default_factory=list)

    def add(self, file: IndexedFile) -> None:
        """Count a file that could be parsed."""
        self.parsed += 1
        self.code_lines += file.code_lines
        self.functions += file.functions
        self.classes += file.classes
        self.imports += file.imports
        self._largest.append(Largest(file.path, file.code_lines, file.functions, file.classes))
        self._importers.update(file.modules)

    def add_unparsed(self, path: str, why: str) -> None:
        """Count a file whose job failed."""
        line = " ".join(why.split()) or "unknown"
        self._unparsed.append(Unparsed(path, line if len(line) <= _REASON_CHARS else line[: _REASON_CHARS - 1] + "…"))

    def report(self) -> Report:
        """The report on everything added so far."""
        largest = sorted(self._largest, key=lambda module: (-module.code_lines, module.path))[:_TOP]
        imported = sorted(self._importers.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
        return Report(
            files=self.parsed + len(self._unparsed),
            parsed=self.parsed,
            code_lines=self.code_lines,
            functions=self.functions,
            classes=self.classes,
            imports=self.imports,
            largest=largest,
            most_imported=[MostImported(module, files) for module, files in imported],
            unparsed=sorted(self._unparsed, key=lambda file: file.path)[:UNPARSED_SHOWN],
        )
