"""The port of nodes on SQLite."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Sequence
from typing import NamedTuple

from ..ports.nodes import NodeStore
from ..records import Node
from ..role import Term
from ..statements import load
from .presence import Presence
from .reader import Reader
from .roles import check_term
from .rows import node_of
from .transaction import Transaction
from .writer import Writer

_REGISTER = load(__package__, "sql/nodes/register.sql")
_LIST = load(__package__, "sql/nodes/list.sql")
_FORGET = load(__package__, "sql/nodes/forget.sql")


class SqliteNodes(NodeStore):
    """Rows of nodes in a file."""

    def __init__(self, writer: Writer, reader: Reader, presence: Presence) -> None:
        self._writer = writer
        self._reader = reader
        self._presence = presence

    async def register(self, node: Node) -> None:
        self._presence.appear(node.boot_id)
        await self._writer.submit(_register, node, rows=1)

    async def list(self) -> list_of[Node]:
        return [node_of(row) for row in await self._reader.all(_LIST)]

    async def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> None:
        await self._writer.submit(_forget, _Forget(boot_ids, fence), rows=len(boot_ids))
        self._presence.leave(boot_ids)


class _Forget(NamedTuple):
    boot_ids: Sequence[bytes]
    fence: Term | None


def _register(tx: Transaction, calls: Sequence[Node]) -> list[None]:
    for node in calls:
        row = (node.boot_id, node.host, node.pid, node.version, node.started_at, tx.now, node.report)
        tx.write(_REGISTER, row)
    return [None] * len(calls)


def _forget(tx: Transaction, calls: Sequence[_Forget]) -> list[None]:
    for boot_ids, fence in calls:
        check_term(tx, fence)
        for boot_id in boot_ids:
            tx.write(_FORGET, (boot_id,))
    return [None] * len(calls)
