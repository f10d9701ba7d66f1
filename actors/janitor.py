"""Removes what nobody needs any more: terminal jobs past their retention, rows of nodes that are long gone."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..storage.messages import ForgetNodes, PruneJobs
from ..storage.ports.nodes import NodeStore
from .node import NodeParts

EVERY_S = 30.0
BATCH = 1000  # a larger one would hold the store's lock too long
NODE_GONE_AFTER_LEASES = 10


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove the next batch."""


class Janitor(Actor):
    """Prunes every half minute, and again soon while a batch comes back full. Correct with many of them at once."""

    def __init__(self, nodes: NodeStore, *, node: NodeParts, retention_s: float) -> None:
        self._nodes = nodes
        self._node = node
        self._retention_s = retention_s

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        self.context.send_after(EVERY_S * self._node.rng.uniform(0.1, 1.0), Tidy())

    async def receive(self, message: object) -> None:
        now_ms = self.context.clock.wall_ms()
        removed = 0
        try:
            request = PruneJobs(now_ms - int(self._retention_s * 1000), BATCH)
            removed = await self._storage.ask(request, timeout=EVERY_S)
            await self._forget_nodes(now_ms)
        except CallboardError as error:
            self._node.log.warning("old jobs could not be pruned; trying again", error=str(error))
        pause_s = 0.1 if removed == BATCH else EVERY_S * self._node.rng.uniform(0.8, 1.0)
        self.context.send_after(pause_s, Tidy())

    async def _forget_nodes(self, now_ms: int) -> None:
        limit = now_ms - int(NODE_GONE_AFTER_LEASES * self._node.lease_ms)
        gone = [node.boot_id for node in await self._nodes.list() if node.seen_at < limit]
        if gone:
            await self._storage.ask(ForgetNodes(gone), timeout=EVERY_S)
