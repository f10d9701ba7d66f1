"""Rescues jobs whose lease has expired; every node does, and each rescue is conditional on the claim token.

It needs no row of the node that lost them, no leader and no job, so nothing of what may be broken is needed to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..storage.job import JobState
from ..storage.messages import RescueJobs
from .node import NodeParts
from .wakeups import Subscribe

BATCH = 500


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look for expired leases: the time has come."""


@dataclass(frozen=True, slots=True)
class SweepNow:
    """Look for expired leases: a node is known to have died."""


class Rescuer(Actor):
    """Sweeps every third of a lease, jittered, when a node died, and at once again while a batch comes back full."""

    def __init__(self, *, node: NodeParts) -> None:
        self._node = node

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        await self.context.ref("wakeups").tell(Subscribe("lost", "", self.context.ref(), SweepNow()))
        self.context.send_after(self._pause_s() / 2, Sweep())

    async def receive(self, message: object) -> None:
        request = RescueJobs(BATCH, self._node.max_crashes)
        try:
            rescued = await self._storage.ask(request, timeout=self._node.lease_s)
        except CallboardError as error:
            self._node.log.warning("expired leases could not be looked for; trying again", error=str(error))
            rescued = []
        if rescued:
            poisoned = sum(job.state is JobState.FAILED for job in rescued)
            self._node.log.warning("rescued jobs whose lease had expired", jobs=len(rescued), poisoned=poisoned)
        if isinstance(message, Sweep):
            self.context.send_after(0.0 if len(rescued) == BATCH else self._pause_s(), Sweep())

    def _pause_s(self) -> float:
        return self._node.lease_s / 3 * self._node.rng.uniform(0.8, 1.0)
