"""Writes the outcomes of a worker's attempts: all that ended while one write was under way make the next one.

Nothing is given up while the node may still hold the leases, unless it stops: a store that does not answer is asked
again, and each write is idempotent. A write that the store refuses means that the lease was lost: it is counted, and
nothing else.

A job's way ends here, by way of `storage/actor.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..kernel.errors import CallboardError
from ..kernel.ref import Ref
from ..storage import records as r
from ..storage.errors import StorageError, StorageReset
from ..storage.job import Claimed, JobState
from ..storage.messages import FinishJobs, HandBackJobs, RetryJobs, SnoozeJobs
from ..storage.records import ErrorRecord
from .node import NodeParts
from .outcome import Cancelled, Completed, Discarded, Failed, HandedBack, Outcome, Retrying, Snoozed

PAUSE_S = 0.05  # between two tries to reach the storage actor


class Closing:
    """The outbox of one worker. `len()` counts outcomes that are not written yet."""

    def __init__(self, node: NodeParts, storage: Ref, closed: Callable[[int], None]) -> None:
        self._node = node
        self._storage = storage
        self._closed = closed
        self._outbox: list[tuple[Claimed, Outcome]] = []
        self._under_way = 0
        self._writer: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._outbox) + self._under_way

    def add(self, job: Claimed, outcome: Outcome) -> None:
        """Write this outcome with the next batch."""
        self._outbox.append((job, outcome))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def flushed(self) -> None:
        """Wait until all that was added is written."""
        if self._writer is not None:
            await asyncio.shield(self._writer)

    async def _write_all(self) -> None:
        try:
            while self._outbox:
                batch, self._outbox = self._outbox, []
                self._under_way = len(batch)
                await self._write(batch)
                self._under_way = 0
                release = self._node.in_flight.release
                for job, _ in batch:
                    release(job.id, job.claim_token)
                self._node.finished += len(batch)
                self._closed(len(batch))
        finally:
            self._writer = None

    async def _write(self, batch: Sequence[tuple[Claimed, Outcome]]) -> None:
        messages = _messages(batch, self._node.clock.wall_ms())
        if len(messages) == 1:
            await self._send(messages[0])
        else:
            await asyncio.gather(*(self._send(message) for message in messages))

    async def _send(self, message: Any) -> None:
        in_flight = self._node.in_flight
        items = message.items
        while items:
            try:
                answers = await self._storage.ask(message, timeout=self._node.lease_s)
            except StorageReset as error:
                self._node.store_was_reset(str(error))
                return
            except StorageError as error:
                self._node.log.error("outcomes could not be written; their leases will expire", error=str(error))
                return
            except CallboardError:
                # The storage actor is being restarted, or its store does not answer. Leases that are lost meanwhile
                # are dropped here, so this ends.
                items = [item for item in items if in_flight.holds(item.id, item.claim_token)]
                message = type(message)(items)
                await self._node.clock.sleep(PAUSE_S)
            else:
                in_flight.refused_writes += answers.count(False)
                return


def _messages(batch: Iterable[tuple[Claimed, Outcome]], now_ms: int) -> list[Any]:
    """The batch as one message per verb."""
    ends: list[r.Finish] = []
    retries: list[r.Retry] = []
    snoozes: list[r.Snooze] = []
    hand_backs: list[r.HandBack] = []
    for job, outcome in batch:
        if type(outcome) is Completed:
            ends.append(r.Finish(job.id, job.claim_token, job.queue, JobState.COMPLETED, job.attempt, outcome.result))
        elif type(outcome) is Retrying:
            run_at = now_ms + int(outcome.delay_s * 1000)
            retries.append(r.Retry(job.id, job.claim_token, job.queue, job.attempt, run_at, outcome.error))
        elif type(outcome) is Snoozed:
            snoozes.append(r.Snooze(job.id, job.claim_token, job.queue, now_ms + int(outcome.delay_s * 1000)))
        elif type(outcome) is HandedBack:
            later = now_ms + int(outcome.delay_s * 1000) if outcome.delay_s else None
            hand_backs.append(r.HandBack(job.id, job.claim_token, job.queue, later))
        else:
            ends.append(_end(job, outcome))
    messages: list[Any] = []
    if ends:
        messages.append(FinishJobs(ends))
    if retries:
        messages.append(RetryJobs(retries))
    if snoozes:
        messages.append(SnoozeJobs(snoozes))
    if hand_backs:
        messages.append(HandBackJobs(hand_backs))
    return messages


def _end(job: Claimed, outcome: Outcome) -> r.Finish:
    error: ErrorRecord | None = None
    match outcome:
        case Failed(reason=reason, error=error):
            state = JobState.FAILED
        case Cancelled(reason=reason):
            state = JobState.CANCELLED
        case Discarded(reason=reason):
            state = JobState.DISCARDED
        case _:
            raise TypeError(f"{outcome!r} does not end a job")
    return r.Finish(job.id, job.claim_token, job.queue, state, job.attempt, None, reason or None, error)
