"""The port of nodes on PostgreSQL."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Awaitable, Callable, Sequence

from ...kernel.clock import Clock
from ..ports.nodes import NodeStore
from ..records import Node
from ..role import Term
from .fences import run_fenced
from .lane import TIMEOUT_S, Connection
from .lanes import Lanes
from .rows import node_of, storable


class PostgresNodes(NodeStore):
    """Rows of nodes in a database."""

    def __init__(self, lanes: Lanes, clock: Clock, warm: Callable[[bytes], Awaitable[None]]) -> None:
        self._lanes = lanes
        self._clock = clock
        self._warm = warm  # who registers is about to work

    async def register(self, node: Node) -> None:
        await self._lanes.work.fetch(
            "nodes/register",
            node.boot_id,
            storable(node.host),
            node.pid,
            storable(node.version),
            node.started_at,
            self._clock.wall_ms(),
            node.report,
        )
        await self._warm(node.boot_id)

    async def list(self) -> list_of[Node]:
        return [node_of(row) for row in await self._lanes.reads.fetch("nodes/list")]

    async def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> None:
        text = self._lanes.server.text("nodes/forget")

        async def forget(connection: Connection) -> None:
            await connection.fetch(text, list_of(boot_ids), timeout=TIMEOUT_S)

        await run_fenced(self._lanes.work, fence, forget)
