"""Removes what nobody needs any more: terminal jobs past their retention, rows of nodes that are long gone, old
control messages. The duty of role "janitor"; each removal carries the term.

Nothing waits for it: expired leases are the rescuer's, on every node, and need no row of any node.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..storage.errors import TermOver
from ..storage.messages import ForgetNodes, PruneJobs
from ..storage.ports.store import Store
from ..storage.records import Node
from .node import NodeParts
from .tenure import Tenure

EVERY_S = 30.0
BATCH = 1000  # a larger one would hold the store's lock too long
NODE_GONE_AFTER_LEASES = 10
CONTROLS_KEPT_S = 3600.0  # whoever asked has long ceased to wait


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove the next batch."""


class Janitor(Actor):
    """Prunes every half minute, and again soon while a batch comes back full."""

    def __init__(self, store: Store, *, node: NodeParts, retention_s: float, tenure: Tenure) -> None:
        self._store = store
        self._node = node
        self._retention_s = retention_s
        self._tenure = tenure
        self._sights: dict[bytes, tuple[int, float]] = {}  # by node: its latest beat, and since when here that is so

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        self._began, self._began_ms = self.context.clock.monotonic(), self.context.clock.wall_ms()
        self.context.send_after(EVERY_S * self._node.rng.uniform(0.1, 1.0), Tidy())

    async def receive(self, message: object) -> None:
        now_ms = self._now_ms()
        removed = 0
        try:
            request = PruneJobs(now_ms - int(self._retention_s * 1000), BATCH, self._tenure.fence())
            removed = await self._storage.ask(request, timeout=EVERY_S)
            await self._forget_nodes()
            await self._store.controls.prune(asked_before=now_ms - int(CONTROLS_KEPT_S * 1000))
        except TermOver:
            pass  # either the leader stops this actor next, or a late renewal goes through and the term runs on
        except CallboardError as error:
            self._node.log.warning("old jobs could not be pruned; trying again", error=str(error))
        pause_s = 0.1 if removed == BATCH else EVERY_S * self._node.rng.uniform(0.8, 1.0)
        self.context.send_after(pause_s, Tidy())

    def _now_ms(self) -> int:
        """The store's wall time, which may be set back and not forward: else a jump of a day, of the clock of a file's
        machine, say, would remove a day's results."""
        elapsed_s = self.context.clock.monotonic() - self._began
        return min(self.context.clock.wall_ms(), self._began_ms + int(elapsed_s * 1000))

    async def _forget_nodes(self) -> None:
        """Nodes whose beat stood still for long by this node's clock: theirs may differ, and wall clocks jump."""
        now = self.context.clock.monotonic()
        nodes = await self._store.nodes.list()
        self._sights = {node.boot_id: self._sight(node, now) for node in nodes}
        limit = now - NODE_GONE_AFTER_LEASES * self._node.lease_s
        gone = [boot_id for boot_id, (_, since) in self._sights.items() if since < limit]
        if gone:
            await self._storage.ask(ForgetNodes(gone, self._tenure.fence()), timeout=EVERY_S)

    def _sight(self, node: Node, now: float) -> tuple[int, float]:
        known = self._sights.get(node.boot_id)
        return known if known is not None and known[0] == node.seen_at else (node.seen_at, now)
