"""What a handler sees of its attempt."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..kernel.codec import encode
from ..kernel.durations import Duration, seconds_left
from ..kernel.errors import CallboardError
from ..storage.errors import InvalidTransaction, LeaseLost
from ..storage.ids import format_id
from ..storage.job import Claimed, JobState
from ..storage.records import Finish
from .attempt import Stop
from .failures import capped
from .outcome import MAX_REASON_BYTES
from .signature import ContextMarker

if TYPE_CHECKING:
    from .attempt import Attempt
    from .node import NodeParts


T = TypeVar("T")


class InvalidReport(CallboardError, TypeError):
    """What a handler reported of its progress cannot be stored."""


class Ctx(ContextMarker):
    """The attempt that a handler runs in; passed as its first parameter if that is named `ctx` or annotated `Ctx`."""

    __slots__ = ("_attempt", "_job", "_node", "max_attempts")

    def __init__(self, job: Claimed, attempt: Attempt, node: NodeParts, max_attempts: int) -> None:
        self._job = job
        self._attempt = attempt
        self._node = node
        self.max_attempts = max_attempts

    @property
    def id(self) -> str:
        """The job's id in its text form."""
        return format_id(self._job.id)

    @property
    def job_id(self) -> bytes:
        """The id as the stores keep it."""
        return self._job.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self._job.name

    @property
    def queue(self) -> str:
        """The queue it was claimed from."""
        return self._job.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""
        return self._job.attempt

    @property
    def fencing_token(self) -> int:
        """A number that grows with every claim of this job: hand it to systems that can refuse an older one."""
        return self._job.claim_token

    @property
    def enqueued_at(self) -> datetime:
        """When the job was enqueued, aware UTC, by the store's clock."""
        return datetime.fromtimestamp(self._job.inserted_at / 1000, UTC)

    @property
    def deadline(self) -> datetime | None:
        """When the attempt's timeout ends it, aware UTC, by the store's clock; None without a timeout."""
        if self._attempt.deadline is None:
            return None
        left_s = self._attempt.deadline - self._node.clock.monotonic()
        return datetime.fromtimestamp(self._node.clock.wall_ms() / 1000 + left_s, UTC)

    @property
    def shutting_down(self) -> bool:
        """True once the node drains: finish soon, or be interrupted when its grace is over."""
        return self._attempt.is_shutting_down

    @property
    def cancelled(self) -> bool:
        """True once this attempt is to stop, whoever wants it; plain functions in threads should look now and then."""
        return self._attempt.stop is not None

    @property
    def logger(self) -> Any:
        """A structlog logger whose lines carry the job's id, name and attempt."""
        import structlog  # late: see actors/node_log.py

        return structlog.get_logger("callboard.job").bind(job_id=self.id, job=self.name, attempt=self.attempt)

    @property
    def runtime(self) -> Any:
        """The `Runtime` that runs the job, to enqueue more."""
        return self._node.runtime

    def heartbeat(self, progress: float | None = None, message: str | None = None) -> None:
        """Report progress; the next renewal of the lease carries the latest report to the store.

        The lease is renewed without it: this is for those who watch. Of a long message the middle is left out. Raises
        `InvalidReport` (a TypeError) for a progress that is no number or a message that is no text.
        """
        if isinstance(progress, bool) or not isinstance(progress, int | float | None):
            raise InvalidReport(f"ctx.heartbeat progress: expected a number; found {type(progress).__name__}")
        if not isinstance(message, str | None):
            raise InvalidReport(f"ctx.heartbeat message: expected text; found {type(message).__name__}")
        told = None if message is None else capped(message, MAX_REASON_BYTES)
        self._node.in_flight.note_progress(self._job.id, encode([progress, told]))

    @overload
    def complete(self, *, tx: object) -> Coroutine[Any, Any, None]: ...
    @overload
    def complete(self, result: T, *, tx: object) -> Coroutine[Any, Any, T]: ...
    def complete(self, result: object = None, *, tx: object) -> Coroutine[Any, Any, object]:
        """Write the job's end, completed with `result`, in a transaction of the handler's own: effects exactly once.

        `tx` is a connection with an open transaction on the store's database, as in `Job.options`. The job has ended
        once the handler commits it; rolled back, it has not, and the attempt is judged as if this had not been called.
        Gives the result, to be returned: what a handler returns afterwards counts for nothing. Keep the transaction
        well below the lease: on SQLite every node waits for it.

        Raises `LeaseLost` when the job is another attempt's by now (let it end the transaction), `InvalidTransaction`
        for what is no such transaction, a store without any, a second call, or a handler that runs in a thread, and
        `ResultTooLarge` or `ResultNotStorable`.
        """
        if self._attempt.is_in_thread:  # at once: a thread has nothing to await it with, and would not hear of it
            raise InvalidTransaction("ctx.complete: expected an async handler; one in a thread ends by returning")
        return self._complete(result, tx)

    async def _complete(self, result: object, tx: object) -> object:
        attempt, job = self._attempt, self._job
        if attempt.is_completing:
            raise InvalidTransaction("ctx.complete: expected one call in an attempt, found a second")
        transactions = self._node.transactions_of("ctx.complete")
        encoded = self._node.definitions[job.name].encode_result(result)
        end = Finish(job.id, job.claim_token, job.queue, JobState.COMPLETED, job.attempt, encoded)
        if not await transactions.complete(tx, end, boot_id=self._node.boot_id):
            attempt.stop = Stop.LEASE_LOST
            self._node.in_flight.refused_writes += 1
            raise LeaseLost(f"job {self.id} is another attempt's by now; nothing of this one counts")
        attempt.is_completing = True
        self._node.in_flight.completing(job.id)
        return result

    async def sleep(self, duration: Duration) -> None:
        """Wait on the node's clock, which tests may own. The attempt keeps its slot; `Snooze` gives it back.

        Raises `InvalidDuration`; a number below zero waits no longer than zero.
        """
        await self._node.clock.sleep(seconds_left(duration, "ctx.sleep"))


current_attempt: ContextVar[Ctx | None] = ContextVar("callboard_attempt", default=None)
