"""Nodes in Redis."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Sequence

from ...kernel.clock import Clock
from ..ports.nodes import NodeStore
from ..records import Node
from ..role import Term
from . import rows
from .connection import Script, Server

_REGISTER = Script("lua/nodes/register.lua")
_LIST = Script("lua/nodes/list.lua")
_FORGET = Script("lua/nodes/forget.lua")


class RedisNodes(NodeStore):
    """The port of nodes over a server."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def register(self, node: Node) -> None:
        seen = rows.packed_sight(self._clock.wall_ms(), node.report)
        await self._server.call(_REGISTER, rows.packed((node.boot_id, rows.packed_node(node), seen)))

    async def list(self) -> list_of[Node]:
        said, seen = [_pairs(flat) for flat in await self._server.call(_LIST, rows.packed([]))]
        nodes = [rows.node_of(boot_id, said[boot_id], seen[boot_id]) for boot_id in said.keys() & seen.keys()]
        return sorted(nodes, key=lambda node: (node.started_at, node.boot_id))

    async def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> None:
        if boot_ids or fence is not None:
            await self._server.call(_FORGET, rows.packed(list_of(boot_ids)), fence=fence)


def _pairs(flat: list_of[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
