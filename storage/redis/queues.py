"""Queues in Redis."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Mapping, Sequence

from ..job import JobState
from ..ports.queues import QueueStore
from ..records import QueueRow
from . import rows
from .connection import Script, Server
from .counters import counted

_LIST = Script("lua/queues/list.lua")
_SWITCH = Script("lua/queues/switch.lua")
_NOTHING = [0] * len(JobState)


class RedisQueues(QueueStore):
    """The port of queues over a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def counts(self, queue: str | None = None) -> Mapping[JobState, int]:
        found = counted(await self._server.command("HGETALL", self._server.keys.counts))
        chosen = [row for name, row in found.items() if queue is None or name == queue]
        return {state: sum(row[state.code] for row in chosen) for state in JobState}

    async def list(self) -> list_of[QueueRow]:
        switches, counters, oldest = await self._server.call(_LIST, rows.packed([]))
        counts = counted(counters)
        found = []
        for name, switch, run_at in zip(switches[::2], switches[1::2], oldest, strict=True):
            queue = name.decode()
            row = dict(zip(rows.STATES, counts.get(queue, _NOTHING), strict=True))
            found.append(QueueRow(queue, switch == b"1", row, None if run_at == rows.NEVER else run_at))
        return sorted(found, key=lambda row: row.name)

    async def pause(self, queues: Sequence[str]) -> None:
        await self._switch("1", queues)

    async def resume(self, queues: Sequence[str]) -> None:
        await self._switch("0", queues)

    async def _switch(self, switch: str, queues: Sequence[str]) -> None:
        if queues:
            await self._server.call(_SWITCH, rows.packed([switch, *queues]))
