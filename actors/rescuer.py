"""Rescues jobs whose lease has expired; every node does, and each rescue is conditional on the claim token.

It needs no row of the node that lost them, no leader and no job, so nothing of what may be broken is needed to mend it.
While this node's own renewals fail, and for a lease after an outage, it expires nobody: see `trust.py`. A node that is
known to have died gets no such grace.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..storage.errors import StorageReset
from ..storage.job import JobState
from ..storage.messages import RescueJobs
from .node import NodeParts
from .wakeups import Subscribe

BATCH = 500
FIRST_PAUSE_S = 0.1  # from the start: whoever had the jobs may have died with the node whose place this one takes


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look for expired leases: the time has come."""


@dataclass(frozen=True, slots=True)
class SweepNow:
    """Look for expired leases: a node is known to have died."""


class Rescuer(Actor):
    """Sweeps as soon as it may, every third of a lease, jittered, when a node died, and at once again while a batch
    comes back full."""

    def __init__(self, *, node: NodeParts) -> None:
        self._node = node
        self._first_pause_s = FIRST_PAUSE_S  # until it has swept: so soon it is tried again

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        await self.context.ref("wakeups").tell(Subscribe("lost", "", self.context.ref(), SweepNow()))
        self.context.send_after(self._pause_s(), Sweep())

    async def receive(self, message: object) -> None:
        within_s = self._node.trust.rescue_within(self.context.clock.monotonic())
        if isinstance(message, SweepNow) and self._node.trust.reset is None:
            within_s = self._node.lease_s
        rescued = 0
        if within_s > 0:
            self._first_pause_s = inf
            rescued = await self._rescue(within_s)
        if isinstance(message, Sweep):
            self.context.send_after(0.0 if rescued == BATCH else self._pause_s(), Sweep())

    async def _rescue(self, within_s: float) -> int:
        """How many were rescued; none where the store did not begin in time, since then it is not asked at all."""
        try:
            rescued = await self._storage.ask(RescueJobs(BATCH, self._node.max_crashes), timeout=within_s)
        except StorageReset as error:
            self._node.store_was_reset(str(error))
            return 0
        except CallboardError as error:
            self._node.log.warning("expired leases could not be looked for; trying again", error=str(error))
            return 0
        if rescued:
            poisoned = sum(job.state is JobState.FAILED for job in rescued)
            self._node.log.warning("rescued jobs whose lease had expired", jobs=len(rescued), poisoned=poisoned)
        return len(rescued)

    def _pause_s(self) -> float:
        pause_s = min(self._node.lease_s / 3, self._first_pause_s)
        self._first_pause_s *= 2
        return pause_s * self._node.rng.uniform(0.8, 1.0)
