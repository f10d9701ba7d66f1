"""Jobs as their users hold them: `@runtime.job` makes one, `.enqueue` sends it, `.bind` and `.options` prepare it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

from ..actors.context import Ctx
from ..actors.definition import (
    InvalidDefinition,
    InvalidName,
    JobDefinition,
    define,
    encode_anonymous,
    validate_name,
    validate_priority,
    validate_queue,
)
from ..actors.outcome import Cancel, Discard, RetryAfter, Snooze
from ..actors.retry import Retry
from ..kernel.durations import Duration, seconds
from ..kernel.errors import CallboardError
from ..storage.role import Term

if TYPE_CHECKING:
    from .handle import Handle
    from .runtime import Runtime

_JOB_OPTIONS = ("name", "queue", "retry", "timeout", "priority", "process")
Answer: TypeAlias = Snooze | Cancel | Discard | RetryAfter
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class InvalidOption(CallboardError, ValueError):
    """An option of a job cannot be used; nothing was enqueued."""


class NotIncluded(CallboardError, RuntimeError):
    """A job of a registry was enqueued before a runtime included the registry."""

    def __init__(self, name: str) -> None:
        super().__init__(f"job {name!r} belongs to no Runtime yet: call runtime.include(registry) first")


@dataclass(frozen=True, slots=True)
class Options:
    """How one call differs from the job's definition; None: as defined."""

    queue: str | None = None
    priority: int | None = None
    delay_s: float | None = None
    at_ms: int | None = None
    timeout_ms: int | None = None
    tx: object | None = None  # whose transaction the enqueue belongs to
    fence: Term | None = None  # what it is done because of


class Call(Generic[R_co]):
    """A job with its arguments, checked and encoded, not enqueued yet. Reusable: each enqueue makes a new job."""

    __slots__ = ("definition", "name", "options", "payload")

    def __init__(self, name: str, definition: JobDefinition | None, options: Options, payload: bytes) -> None:
        self.name = name
        self.definition = definition
        self.options = options
        self.payload = payload


class Job(Generic[P, R_co]):
    """A handler under its name, ready to be enqueued with its own arguments and nothing else."""

    __slots__ = ("_home", "_options", "definition")

    def __init__(self, definition: JobDefinition, home: Registry, options: Options = Options()) -> None:
        self.definition = definition
        self._home = home
        self._options = options

    @property
    def name(self) -> str:
        """The job's name."""
        return self.definition.name

    @property
    def fn(self) -> Callable[..., Any]:
        """The handler itself, for plain unit tests."""
        return self.definition.fn

    def options(
        self,
        *,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        timeout: Duration | None = None,
        tx: object | None = None,
        fence: Term | None = None,
    ) -> Job[P, R_co]:
        """The same job with other options: run after `delay` or `at` an aware datetime, in another `queue`, with
        another `priority` (0 urgent to 3 low) or attempt `timeout`. Raises `InvalidOption` at once.

        `tx`: a connection with a transaction of yours on the store's database; the job is there once you commit it, and
        never was if you roll it back. PostgreSQL: asyncpg, psycopg, SQLAlchemy; SQLite: sqlite3, aiosqlite.

        `fence`: what a singleton has from `runtime.term()`; enqueueing raises `TermOver` once that term is over."""
        options = _options(self._options, delay, at, priority, queue, timeout, tx, fence)
        return Job(self.definition, self._home, options)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """The job with arguments, for `runtime.enqueue_many`. Raises as `enqueue` does for bad arguments."""
        return Call(self.name, self.definition, self._options, self.definition.encode_call(args, kwargs))

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]:
        """Store one job; when this returns it is committed, or with `options(tx=...)` part of that transaction.

        Raises, with nothing written: `BadArguments` (they do not fit the handler's signature), `NotStorable`,
        `PayloadTooLarge`, `Full`, `NotOpen`, `InvalidTransaction`.
        """
        payload = self.definition.encode_call(args, kwargs)
        return await self._home.runtime_of(self).enqueue_call(Call(self.name, self.definition, self._options, payload))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]:
        """As `enqueue`, from a thread without an event loop: scripts, Django, Flask, plain handlers."""
        call = self.bind(*args, **kwargs)
        return self._home.runtime_of(self).enqueue_call_sync(call)

    def __repr__(self) -> str:
        return f"<Job {self.name!r} in queue {self._options.queue or self.definition.queue!r}>"


class JobDecorator:
    """What `@runtime.job(...)` gives: makes a `Job` of a handler."""

    def __init__(self, registry: Registry, settings: Mapping[str, Any]) -> None:
        self._registry = registry
        self._settings = settings

    @overload
    def __call__(self, fn: Callable[Concatenate[Ctx, P], Awaitable[R | Answer]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Awaitable[R | Answer]], /) -> Job[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Ctx, P], R | Answer], /) -> Job[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R | Answer], /) -> Job[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Job[..., Any]:
        return self._registry.add(define(fn, **self._settings))


class Registry:
    """Collects jobs without a store, so that a library can ship them: `runtime.include(registry)`."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job[..., Any]] = {}
        self._runtimes: list[Runtime] = []

    @property
    def jobs(self) -> Mapping[str, Job[..., Any]]:
        """The jobs, by name."""
        return self._jobs

    @overload
    def job(self, fn: Callable[Concatenate[Ctx, P], Awaitable[R | Answer]], /) -> Job[P, R]: ...
    @overload
    def job(self, fn: Callable[P, Awaitable[R | Answer]], /) -> Job[P, R]: ...
    @overload
    def job(self, fn: Callable[Concatenate[Ctx, P], R | Answer], /) -> Job[P, R]: ...
    @overload
    def job(self, fn: Callable[P, R | Answer], /) -> Job[P, R]: ...
    @overload
    def job(
        self,
        fn: str,
        /,
        *,
        name: str | None = None,
        queue: str = "default",
        retry: Retry | None = None,
        timeout: Duration | None = None,
        priority: int = 2,
        process: bool = False,
    ) -> Job[..., Any]: ...
    @overload
    def job(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        retry: Retry | None = None,
        timeout: Duration | None = None,
        priority: int = 2,
        process: bool = False,
    ) -> JobDecorator: ...
    def job(self, fn: Any = None, /, **settings: Any) -> Any:  # type: ignore[misc]  # the overloads are exact
        """Make a handler a job. Decorates an async function (runs on the loop), a plain one (runs in a thread; with
        `process=True` in a process of its own), or takes "package.module:function", imported when first run.

        `name` is the function's unless given; two of one name are refused with `DuplicateJob`.
        """
        if unknown := settings.keys() - _JOB_OPTIONS:
            near = get_close_matches(min(unknown), _JOB_OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_JOB_OPTIONS)}"
            raise InvalidDefinition(f"a job: no option {min(unknown)!r}; {hint}")
        if fn is None:
            return JobDecorator(self, settings)
        return self.add(define(fn, **settings))

    def add(self, definition: JobDefinition) -> Job[..., Any]:
        """Take a definition in. Raises `DuplicateJob`."""
        self._refuse_double(definition.name, definition)
        for runtime in self._runtimes:
            runtime.registry._refuse_double(definition.name, definition)
        job: Job[..., Any] = Job(definition, self)
        self._jobs[definition.name] = job
        for runtime in self._runtimes:
            runtime.registry._jobs[definition.name] = job
        return job

    def join(self, runtime: Runtime) -> None:
        """Make the jobs part of `runtime`, those added later too. Raises `DuplicateJob`, with nothing changed."""
        if runtime in self._runtimes:
            return
        if runtime.registry is not self:
            for name, job in self._jobs.items():
                runtime.registry._refuse_double(name, job.definition)
            runtime.registry._jobs.update(self._jobs)
        self._runtimes.append(runtime)

    def runtime_of(self, job: Job[..., Any]) -> Runtime:
        """The runtime that the job is enqueued to: the open one, else the last that included this registry."""
        for runtime in reversed(self._runtimes):
            if runtime.is_open:
                return runtime
        if not self._runtimes:
            raise NotIncluded(job.name)
        return self._runtimes[-1]

    def _refuse_double(self, name: str, definition: JobDefinition) -> None:
        other = self._jobs.get(name)
        if other is not None:
            raise DuplicateJob(name, other.definition, definition)


class DuplicateJob(CallboardError, ValueError):
    """Two handlers were given one name."""

    def __init__(self, name: str, first: JobDefinition, second: JobDefinition) -> None:
        super().__init__(
            f"two jobs are named {name!r}: {_where(first)} and {_where(second)}; give one of them another name="
        )


def _where(definition: JobDefinition) -> str:
    target = definition.target
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def call_by_name(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], known: Job[..., Any] | None) -> Call[Any]:
    """A call to a job by name: checked against the handler if this process knows it.

    Raises `InvalidName`, and as `Job.enqueue` does for bad arguments.
    """
    if isinstance(name, Job):
        raise InvalidName(f"job name: expected text; found the job {name.name!r} itself: use its own enqueue(...)")
    validate_name(name)
    if known is not None:
        return known.bind(*args, **kwargs)
    return Call(name, None, Options(), encode_anonymous(name, args, kwargs))


def refuse_fence_in_transaction(tx: object | None, fence: Term | None) -> None:
    """Raises `InvalidOption`: whether a term runs is for the store to say, in a commit of its own."""
    if tx is not None and fence is not None:
        raise InvalidOption("tx and fence: expected one of them, found both")


def _options(
    given: Options,
    delay: Duration | None,
    at: datetime | None,
    priority: int | None,
    queue: str | None,
    timeout: Duration | None,
    tx: object | None,
    fence: Term | None,
) -> Options:
    changes: dict[str, Any] = {}
    if delay is not None and at is not None:
        raise InvalidOption("delay and at: expected one of them, found both")
    if delay is not None:
        changes |= {"delay_s": seconds(delay, "delay"), "at_ms": None}
    if at is not None:
        changes |= {"delay_s": None, "at_ms": _milliseconds(at)}
    if priority is not None:
        changes["priority"] = validate_priority(priority)
    if queue is not None:
        changes["queue"] = validate_queue(queue)
    if timeout is not None:
        timeout_s = seconds(timeout, "timeout")
        if timeout_s == 0:
            raise InvalidOption("timeout: expected more than zero; leave it out for the job's own")
        changes["timeout_ms"] = max(round(timeout_s * 1000), 1)
    if tx is not None:
        changes["tx"] = tx
    if fence is not None:
        if not isinstance(fence, Term):
            raise InvalidOption(f"fence: expected what runtime.term() gives, found {fence!r:.80}")
        changes["fence"] = fence
    changed = replace(given, **changes)
    refuse_fence_in_transaction(changed.tx, changed.fence)
    return changed


def _milliseconds(at: datetime) -> int:
    if not isinstance(at, datetime) or at.tzinfo is None or at.utcoffset() is None:
        raise InvalidOption(f"at: expected a datetime with a time zone, such as datetime.now(UTC), found {at!r}")
    return int(at.timestamp() * 1000)
