"""The port of jobs. A store implements each method for a whole batch, in one transaction or script.

Common to all methods: a batch takes effect whole or not at all; a call that ends with `Unavailable` may or may not
have taken effect, and repeating it is safe; answers stand in the order of what was asked; empty batches are legal.
Whenever a job becomes available by `insert`, promotion or `revive`, its vtime is its run_at; `hand_back` and `rescue`
keep the vtime. A fenced write is refused unless the job executes under that claim token and boot id; a repeat is known
by both, which is why `rescue`, `revive` and the `cancel` of a waiting job take the boot id off the job.
Methods return awaitables rather than being coroutines, so that a store may hand out bare futures.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol

from ..job import Job, NewJob
from ..records import (
    Beat,
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    Failure,
    Finish,
    HandBack,
    HeartbeatReply,
    Hint,
    JobFilter,
    Rescued,
    Retry,
    Snooze,
)
from ..role import Term


class JobStore(Protocol):
    """Jobs and their transitions."""

    @abstractmethod
    def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> Awaitable[list[bool]]:
        """Keep new jobs: `scheduled` if `run_at` lies ahead, else `available`; without one, run_at is now.

        `hint` is what `WakeupStore.take_along` gave: it is told with the commit, or else is lost.

        True: this call created it. A job whose id is there already is left as it is and answered False.
        Raises `Full`, or `TermOver` unless the term `fence` runs: nothing was kept.
        """

    @abstractmethod
    def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> Awaitable[list[ClaimReply]]:
        """Lease available jobs, per request at most `limit` in the order (priority, vtime, id).

        First promotes what is due in the queue, earliest run_at first, at most max(100, limit) jobs. Each claimed job:
        `executing`, claim_token + 1, attempt + 1, boot id, lease_until = the store's lease clock + `lease_ms`,
        started_at. A paused queue gives nothing and promotes nothing. Not idempotent: a claim whose reply was lost
        leaves leases that `heartbeat` reports as orphans.
        """

    @abstractmethod
    def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> Awaitable[list[bool]]:
        """End attempts: the job becomes terminal, its result or reason is kept, an error joins its failures.

        `cancelled` without a reason takes the one that `cancel` gave. Fenced. True: accepted, also when an end in the
        same state had been written before with this token. False: the lease is lost.
        """

    @abstractmethod
    def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> Awaitable[list[bool]]:
        """Put failed attempts back as `retryable` at `run_at`, keeping the error. Fenced, answers as `finish`.

        A job whose cancellation was requested becomes `cancelled` instead, with the reason that `cancel` gave.
        """

    @abstractmethod
    def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> Awaitable[list[bool]]:
        """Put jobs back as `scheduled` at `run_at`, the attempt restored. Fenced, answers as `finish`.

        A job whose cancellation was requested becomes `cancelled` instead, with the reason that `cancel` gave.
        """

    @abstractmethod
    def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> Awaitable[list[bool]]:
        """Give jobs back unharmed: attempt restored, vtime kept; `available`, or `scheduled` with a `run_at` ahead.

        Without a `run_at` ahead the job's own stays. Fenced, answers as `finish`. A job whose cancellation was
        requested becomes `cancelled` instead, with the reason that `cancel` gave.
        """

    @abstractmethod
    def rescue(self, *, limit: int, max_crashes: int) -> Awaitable[list[Rescued]]:
        """Take at most `limit` jobs whose lease has expired from their holder, each conditional on its token.

        A store that knows a holder's process to be dead counts its leases as expired.

        attempt restored, crashes + 1, a failure of kind "lease lost" is kept. Below `max_crashes` the job is
        `available` again with its old vtime; at it, `failed` with reason "poison"; `cancelled` if that was requested.
        """

    @abstractmethod
    def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> Awaitable[list[CancelAnswer]]:
        """Cancel waiting jobs; mark executing ones (`cancel_requested`), which their node learns by `heartbeat`.

        The reason is kept either way. A job that is cancelled already answers `CANCELLED`, so that a repeat answers the
        same; one that ended otherwise is `TOO_LATE`. One that a transaction of its handler ends, once that is
        committed, is not waited for: `ENDING`.
        """

    @abstractmethod
    def revive(self, job_ids: Sequence[bytes]) -> Awaitable[list[bool]]:
        """Make waiting or terminal jobs available now, with attempt and crashes at 0 and no result.

        run_at is now, except that a job that is available already keeps its place. Result, reason, progress and the
        times of its former life are gone; its failures stay. The claim token is kept, so that it only grows.
        False: missing or executing.
        """

    @abstractmethod
    def delete(self, job_ids: Sequence[bytes]) -> Awaitable[list[bool]]:
        """Remove jobs with their failures. False: missing or executing."""

    @abstractmethod
    def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> Awaitable[int]:
        """Remove at most `limit` terminal jobs that ended before that wall millisecond; how many it removed.

        Raises `TermOver` unless the term `fence` runs, and removes nothing.
        """

    @abstractmethod
    def get(self, job_ids: Sequence[bytes]) -> Awaitable[list[Job | None]]:
        """Stored jobs; None for an unknown id."""

    @abstractmethod
    def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> Awaitable[list[Job]]:
        """At most `limit` jobs, greatest id first; `before` continues a page after the last id it gave."""

    @abstractmethod
    def failures(self, job_id: bytes) -> Awaitable[list[Failure]]:
        """A job's failed attempts, oldest first."""

    @abstractmethod
    def count(self, wanted: JobFilter) -> Awaitable[int]:
        """How many jobs match. Without a name it reads counters, not jobs."""


class HeartbeatStore(Protocol):
    """A handle of its own, for the heartbeat's thread and its event loop; opened and closed there."""

    @abstractmethod
    async def open(self) -> None:
        """Make the handle usable on the running event loop."""

    @abstractmethod
    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        """Renew leases to the store's lease clock + `lease_ms`, each conditional on its token, and the node's row.

        A lease that has run out is renewed too while nobody has taken the job. The row of a node that is not
        registered is passed over. Goes before other work of this process that waits for the store.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give the handle back."""
