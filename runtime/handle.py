"""A handle on one enqueued job: wait for its result, cancel it, look at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..actors.definition import JobDefinition, read_call
from ..actors.outcome import storable_reason
from ..kernel.codec import Undecodable, decode
from ..kernel.durations import Duration, seconds_left
from ..kernel.errors import CallboardError
from ..storage.ids import format_id
from ..storage.job import Job, JobState
from ..storage.records import CancelAnswer, Failure

if TYPE_CHECKING:
    from .runtime import Runtime

R_co = TypeVar("R_co", covariant=True)


class JobNotFound(CallboardError, LookupError):
    """No job of that id is stored: it never was, or it has been deleted or pruned."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id} is stored: it was never enqueued here, or was deleted or pruned since")


class ResultTimeout(CallboardError, TimeoutError):
    """The job had not ended when the time to wait was over. It goes on."""

    def __init__(self, job_id: str, timeout_s: float) -> None:
        super().__init__(f"job {job_id} had not ended after {timeout_s:g} s; it goes on, ask again later")


class JobEnded(CallboardError):
    """A job ended without a result; `job` is its record."""

    def __init__(self, what: str, job: StoredJob) -> None:
        reason = f": {job.reason}" if job.reason else ""
        super().__init__(f"job {job.name} {job.id} {what}{reason}")
        self.job = job


class JobFailed(JobEnded):
    """It failed for good; `job.error` is the last error, with its traceback as text."""


class JobCancelled(JobEnded):
    """It was cancelled."""


class JobDiscarded(JobEnded):
    """It was dropped by a rule or by its handler."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is stored, for people: times are aware UTC, arguments and result decoded."""

    id: str
    name: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    crashes: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    reason: str | None
    error: Failure | None  # the last attempt that failed
    progress: float | None
    message: str | None
    cancel_requested: bool
    run_at: datetime
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Handle(Generic[R_co]):
    """One job of this runtime's store."""

    __slots__ = ("_definition", "_id", "_runtime", "created")

    def __init__(
        self, runtime: Runtime, job_id: bytes, definition: JobDefinition | None, *, created: bool = False
    ) -> None:
        self._runtime = runtime
        self._id = job_id
        self._definition = definition
        self.created = created  # False for a handle made from an id

    @property
    def id(self) -> str:
        """The job's id in its text form."""
        return format_id(self._id)

    async def result(self, timeout: Duration | None = None) -> R_co:
        """The handler's value, once the job has completed.

        Raises `ResultTimeout` after `timeout` (the job goes on), `JobFailed`, `JobCancelled`, `JobDiscarded`, or
        `JobNotFound`; `InvalidDuration` for a timeout that is none. What is left of a deadline that has passed, a
        number below zero, counts as zero.
        """
        job = await self._runtime.ended(self._id, None if timeout is None else seconds_left(timeout, "timeout"))
        if job is None:
            raise JobNotFound(self.id)
        if job.state is JobState.COMPLETED:
            value: R_co = _result(job, self._definition)
            return value
        record = stored(job, await self._runtime.failures(self._id), self._definition)
        match job.state:
            case JobState.CANCELLED:
                raise JobCancelled("was cancelled", record)
            case JobState.DISCARDED:
                raise JobDiscarded("was discarded", record)
            case _:
                raise JobFailed("failed", record)

    def result_sync(self, timeout: Duration | None = None) -> R_co:
        """As `result`, from a thread without an event loop."""
        return self._runtime.call_sync(lambda: self.result(timeout))

    async def cancel(self, reason: str = "cancelled by request") -> CancelAnswer:
        """Cancel the job if it waits; ask for it if it executes (`REQUESTED`: a handler that ends first wins, and
        `result` tells which); `TOO_LATE` if it had ended. `ENDING`: its handler ended it in a transaction that was
        still open half a minute later; nothing was noted. Raises `JobNotFound`, and `InvalidReason` for a reason that
        is no text; of a long one the middle is left out."""
        answer = await self._runtime.cancel(self._id, storable_reason(reason, "cancel"))
        if answer is CancelAnswer.MISSING:
            raise JobNotFound(self.id)
        return answer

    async def job(self) -> StoredJob:
        """The stored record as it is now. Raises `JobNotFound`."""
        job = await self._runtime.stored_job(self._id)
        if job is None:
            raise JobNotFound(self.id)
        return stored(job, await self._runtime.failures(self._id), self._definition)

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"


def stored(job: Job, failures: list[Failure], definition: JobDefinition | None) -> StoredJob:
    """The record for people. What cannot be decoded is shown as its bytes."""
    progress, message = _progress(job.progress)
    args, kwargs = _arguments(job)
    result: Any = None
    if job.result is not None:
        try:
            result = _result(job, definition)
        except Undecodable:
            result = job.result
    return StoredJob(
        id=format_id(job.id),
        name=job.name,
        queue=job.queue,
        state=job.state,
        priority=job.priority,
        attempt=job.attempt,
        crashes=job.crashes,
        args=args,
        kwargs=kwargs,
        result=result,
        reason=job.reason,
        error=failures[-1] if failures else None,
        progress=progress,
        message=message,
        cancel_requested=job.cancel_requested,
        run_at=_time(job.run_at),
        enqueued_at=_time(job.inserted_at),
        started_at=None if job.started_at is None else _time(job.started_at),
        finished_at=None if job.finished_at is None else _time(job.finished_at),
    )


def _result(job: Job, definition: JobDefinition | None) -> Any:
    if job.result is None:
        return None
    return decode(job.result) if definition is None else definition.decode_result(job.result)


def _arguments(job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        args, kwargs = read_call(job.payload)
    except Undecodable:
        return (job.payload,), {}
    return tuple(args), kwargs


def _progress(encoded: bytes | None) -> tuple[float | None, str | None]:
    if encoded is None:
        return None, None
    try:
        match decode(encoded):
            case [float() | int() | None as progress, str() | None as message]:
                return progress, message
    except Undecodable:
        pass
    return None, None


def _time(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC)
