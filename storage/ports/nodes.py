"""The port of nodes: who works on this store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol

from ..records import Node
from ..role import Term


class NodeStore(Protocol):
    """Rows of nodes. They are information: no lease and no rescue depends on one."""

    @abstractmethod
    def register(self, node: Node) -> Awaitable[None]:
        """Write a node's row, or write it anew; `seen_at` becomes now."""

    @abstractmethod
    def list(self) -> Awaitable[Sequence[Node]]:
        """All nodes, oldest start first."""

    @abstractmethod
    def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> Awaitable[None]:
        """Remove rows; unknown ids are passed over. Raises `TermOver` unless `fence` runs, and removes nothing."""
