"""The port of control messages on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from ..control import Control, ControlAnswer
from ..ports.controls import ControlStore
from ..role import name_bytes, name_of
from .lanes import Lanes
from .rows import columns


class PostgresControls(ControlStore):
    """Requests to nodes in a database."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def send(self, controls: Sequence[Control]) -> None:
        rows = [(one.id, one.boot_id, one.asked_at, name_bytes(one.verb), one.body) for one in controls]
        await self._lanes.work.fetch("controls/send", *columns(rows, 5))

    async def take(self, boot_id: bytes, *, limit: int) -> list[Control]:
        rows = await self._lanes.reads.fetch("controls/take", boot_id, max(limit, 0))
        return [Control(row["id"], row["boot_id"], name_of(row["verb"]), row["body"], row["asked_at"]) for row in rows]

    async def answer(self, answers: Sequence[ControlAnswer]) -> None:
        first = {one.id: one for one in reversed(answers)}
        await self._lanes.work.fetch("controls/answer", *columns(sorted(first.values()), 2))

    async def answers(self, ids: Sequence[bytes]) -> list[ControlAnswer | None]:
        rows = await self._lanes.reads.fetch("controls/answers", list(ids))
        found = {row["id"]: ControlAnswer(row["id"], row["answer"]) for row in rows}
        return [found.get(id) for id in ids]

    async def prune(self, *, asked_before: int) -> int:
        [[count]] = await self._lanes.work.fetch("controls/prune", asked_before)
        return int(count)
