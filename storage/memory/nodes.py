"""Nodes in memory."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Sequence
from dataclasses import replace

from ...kernel.clock import Clock
from ..ports.nodes import NodeStore
from ..records import Node
from ..role import Term
from .board import Board
from .jobs import lease_now


class MemoryNodes(NodeStore):
    """The port of nodes over a board."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    async def register(self, node: Node) -> None:
        with self._board.lock:
            self._board.nodes[node.boot_id] = replace(node, seen_at=self._clock.wall_ms())

    async def list(self) -> list_of[Node]:
        with self._board.lock:
            return sorted(self._board.nodes.values(), key=lambda node: (node.started_at, node.boot_id))

    async def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> None:
        with self._board.lock:
            self._board.check(fence, lease_now(self._clock))
            for boot_id in boot_ids:
                self._board.nodes.pop(boot_id, None)
