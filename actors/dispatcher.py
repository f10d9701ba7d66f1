"""The dispatcher of one queue: claims what its worker has room for, and hands it over.

It keeps no job. Room comes from the worker (`Vacancy`), work is announced by wake-ups (`Look`); it claims when there
may be both. When a claim comes back short it sleeps until a wake-up, the queue's next `run_at`, or the poll interval.

A job's way comes from `storage/actor.py` (claim) and goes on in `actors/worker.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.clock import Timer
from ..kernel.errors import CallboardError
from ..storage.errors import StorageReset
from ..storage.job import Claimed
from ..storage.messages import ClaimJobs, HandBackJobs
from ..storage.records import ClaimReply, ClaimRequest, HandBack
from .membership import RenewNow
from .node import NodeParts
from .wakeups import Subscribe
from .worker import Assign, Report, Vacancy

SHORTEST_CLAIM_S = 5.0  # that a claim is waited for
SHORTEST_SLEEP_S = 0.001
LARGEST_CLAIM = 500  # beyond it a claim delays everybody's commit and gains little (stores.md 2)


@dataclass(frozen=True, slots=True)
class Look:
    """There may be work."""


@dataclass(frozen=True, slots=True)
class StopClaiming:
    """Answered when no claim is under way, once the node drains; then none follows."""


class Dispatcher(Actor):
    """Claims for one queue."""

    max_batch = 256

    def __init__(self, queue: str, *, node: NodeParts) -> None:
        self._queue = queue
        self._node = node
        self._room = 0
        self._assigned = 0  # jobs handed over, as the worker counts them
        self._may_have_work = True
        self._timer: Timer | None = None
        self._too_early = 0  # claims in a row of what was due by what this node knows of the store's clock, and was not

    async def started(self) -> None:
        self._storage = self.context.ref(self._node.lanes.claims)
        self._worker = self.context.ref(f"queues/{self._queue}/worker")
        me = self.context.ref()
        wakeups = self.context.ref("wakeups")
        await wakeups.tell(Subscribe("work", self._queue, me, Look()))
        await self._worker.tell(Report())

    async def stopping(self, exit: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def receive_batch(self, messages: Sequence[Any]) -> list[Any]:
        for message in messages:
            match message:
                case Vacancy(room=room, assigned=assigned):
                    if self._assigned < assigned:
                        self._assigned = assigned  # this dispatcher is younger than the worker
                    self._room = room - (self._assigned - assigned)
                case Look():
                    self._may_have_work = True
        if self._may_have_work and self._room > 0 and self._node.may_claim(self._queue):
            await self._claim()
        return [None] * len(messages)

    async def _claim(self) -> None:
        wanted = min(self._room, LARGEST_CLAIM)
        request = ClaimJobs((ClaimRequest(self._queue, wanted),), self._node.lease_ms)
        in_flight = self._node.in_flight
        in_flight.claims_under_way += 1
        try:
            # Not given up early in an outage: it is repeated until the store answers or the node stops, and then its
            # leases would be nobody's until the heartbeat finds them.
            [(reply, since)] = await self._storage.ask(request, timeout=max(self._node.lease_s, SHORTEST_CLAIM_S))
            is_ours = self._hold(reply.jobs, since)
        except StorageReset as error:
            self._node.store_was_reset(str(error))
            return
        except CallboardError as error:
            # The store actor was restarted under way. What the claim may have leased comes back by the heartbeat.
            self._node.log.warning("claim failed", queue=self._queue, error=str(error))
            self._look_in(self._node.poll_s)
            return
        finally:
            in_flight.claims_under_way -= 1
        if not is_ours:
            self._hand_back(reply.jobs)
        elif reply.jobs:
            self._room -= len(reply.jobs)
            self._assigned += len(reply.jobs)
            await self._worker.tell(Assign(reply.jobs))
        if len(reply.jobs) < wanted:
            self._sleep(reply)

    def _hold(self, jobs: Sequence[Claimed], since: float) -> bool:
        """Count the leases as ours, if they can still be relied on."""
        trust, now = self._node.trust, self.context.clock.monotonic()
        if not trust.is_trusted(since, now):
            return not jobs
        self._node.in_flight.hold(jobs, since)
        if jobs and not trust.is_fresh(since, now):
            self.context.ref("membership").try_tell(RenewNow())
        return True

    def _hand_back(self, jobs: Sequence[Claimed]) -> None:
        """Let go of what was claimed too long ago. Refused for those that others have by now."""
        self._node.log.warning("claim was answered too late; its jobs go back", queue=self._queue, jobs=len(jobs))
        back = [HandBack(job.id, job.claim_token, job.queue) for job in jobs]
        self.context.ref(self._node.lanes.ends).try_tell(HandBackJobs(back))
        self._look_in(self._node.poll_s)

    def _sleep(self, reply: ClaimReply) -> None:
        self._may_have_work = False
        wait_s = self._node.poll_s * self._node.rng.uniform(0.75, 1.0)
        if reply.next_run_at is not None:
            due_in_s = (reply.next_run_at - self.context.clock.wall_ms()) / 1000
            # The store would have given what is due. What is due only here tells that what is known of its clock is
            # ahead, by half a round trip as a rule, by more if somebody has just set it: asked for again and again, a
            # job of the next minutes would keep the store busy.
            self._too_early = self._too_early + 1 if due_in_s <= 0 and not reply.jobs else 0
            wait_s = min(wait_s, max(due_in_s, SHORTEST_SLEEP_S * 2 ** min(self._too_early, 16)))
        self._look_in(wait_s)

    def _look_in(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.context.send_after(wait_s, Look())
