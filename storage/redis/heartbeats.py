"""Renewal of leases in Redis, on a connection of its own in the heartbeat's thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..records import Beat, HeartbeatReply, Orphan
from . import rows
from .connection import Script, Server

_HEARTBEAT = Script("lua/jobs/heartbeat.lua")


class RedisHeartbeat(HeartbeatStore):
    """A client of its own, on the event loop that opened it."""

    def __init__(self, opened: Server, clock: Clock) -> None:
        self._opened = opened
        self._server = Server(opened.address, connections=1, timeout_s=opened.timeout_s)
        self._clock = clock

    async def open(self) -> None:
        self._server.store_id = self._opened.store_id
        self._server.open()

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        batch: list[Any] = [lease_ms, boot_id, rows.packed_sight(self._clock.wall_ms(), report)]
        for job_id, claim_token, progress in beats:
            batch += (job_id, claim_token, False if progress is None else progress)
        lost, stopped, orphans = await self._server.call(_HEARTBEAT, rows.packed(batch))
        return HeartbeatReply(
            [beats[index].id for index in lost],
            [beats[index].id for index in stopped],
            [Orphan(job_id, claim_token, queue.decode()) for job_id, claim_token, queue in orphans],
        )

    async def close(self) -> None:
        await self._server.close()
