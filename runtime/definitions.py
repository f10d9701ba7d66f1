"""Job definitions by name, as the actors look them up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..actors.definition import JobDefinition

if TYPE_CHECKING:
    from .job import Registry


class Definitions(Mapping[str, JobDefinition]):
    """A live view: jobs registered later are found too."""

    def __init__(self, registry: Registry) -> None:
        self._jobs = registry.jobs

    def __getitem__(self, name: str) -> JobDefinition:
        return self._jobs[name].definition

    def get(self, name: str, default: object = None) -> JobDefinition | None:  # type: ignore[override]
        """The definition, or None."""
        job = self._jobs.get(name)
        return None if job is None else job.definition

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)
