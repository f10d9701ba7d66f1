"""What was enqueued in a test, and what was not."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..actors.definition import JobDefinition
from ..kernel.errors import CallboardError
from ..storage.job import Job as JobRow
from ..storage.ports.jobs import JobStore
from ..storage.records import JobFilter
from .handle import StoredJob, stored
from .job import Job

if TYPE_CHECKING:
    from .runtime import Runtime

T = TypeVar("T")

EVERYTHING = 1 << 62
SHOWN = 20  # jobs listed in a message


class Enqueued:
    """Reads a store in memory, whose methods never suspend, so that assertions need no await."""

    def __init__(self, runtime: Runtime, store: JobStore) -> None:
        self._runtime = runtime
        self._store = store

    def jobs(self, job: Job[..., Any] | str | None) -> list[StoredJob]:
        """The jobs, oldest first; of one kind, or all."""
        return [self._stored(row) for row in self._rows(None if job is None else _name(job))]

    def expect(self, job: Job[..., Any] | str, arguments: Mapping[str, Any]) -> StoredJob:
        """The latest job with these arguments. Raises `AssertionError`."""
        found = self._fitting(job, arguments)
        if not found:
            raise AssertionError(f"expected {_called(_name(job), arguments)} among the enqueued jobs; {self._all()}")
        return self._stored(found[-1])

    def refuse(self, job: Job[..., Any] | str, arguments: Mapping[str, Any]) -> None:
        """Raises `AssertionError` if there is such a job."""
        if self._fitting(job, arguments):
            raise AssertionError(f"expected no {_called(_name(job), arguments)} among the enqueued jobs; {self._all()}")

    def _fitting(self, job: Job[..., Any] | str, arguments: Mapping[str, Any]) -> list[JobRow]:
        name = _name(job)
        definition = self._definition(name)
        if definition is not None:
            _refuse_unknown(definition, arguments)
        return [row for row in self._rows(name) if _fits(_arguments(row, definition), arguments)]

    def _rows(self, name: str | None) -> list[JobRow]:
        rows = _at_once(self._store.select(JobFilter(name=name), limit=EVERYTHING))
        return rows[::-1]

    def _stored(self, row: JobRow) -> StoredJob:
        return stored(row, _at_once(self._store.failures(row.id)), self._definition(row.name))

    def _definition(self, name: str) -> JobDefinition | None:
        job = self._runtime.jobs.get(name)
        return None if job is None else job.definition

    def _all(self) -> str:
        rows = self._rows(None)
        if not rows:
            return "nothing was enqueued"
        lines = [
            f"\n  {_called(row.name, _arguments(row, self._definition(row.name)))}: {row.state}, attempt {row.attempt}"
            for row in rows[:SHOWN]
        ]
        more = f"\n  and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        return "enqueued were:" + "".join(lines) + more


def _arguments(row: JobRow, definition: JobDefinition | None) -> dict[str, Any]:
    """By the handler's names where it is known, defaults among them; else by position."""
    if definition is not None:
        try:
            args, kwargs = definition.decode_call(row.payload)
            bound = definition.handler().signature.call.bind(*args, **kwargs)
        except (CallboardError, TypeError):
            pass  # the payload does not fit the handler: shown as it is stored
        else:
            bound.apply_defaults()
            return dict(bound.arguments)
    raw = stored(row, [], None)
    return {**{str(place): value for place, value in enumerate(raw.args)}, **raw.kwargs}


def _fits(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in wanted.items())


def _refuse_unknown(definition: JobDefinition, arguments: Mapping[str, Any]) -> None:
    parameters = definition.handler().signature.call.parameters.values()
    names = [one.name for one in parameters]
    unknown = [name for name in arguments if name not in names]
    if unknown:
        raise AssertionError(
            f"job {definition.name!r} has no argument {', '.join(unknown)}:"
            f" expected some of {', '.join(names) or 'none'}"
        )


def _called(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _name(job: Job[..., Any] | str) -> str:
    return job if isinstance(job, str) else job.name


def _at_once(call: Any) -> Any:
    """What a coroutine gives that never suspends."""
    assert isinstance(call, Coroutine)
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    call.close()
    raise RuntimeError("the store in memory was expected to answer at once")
