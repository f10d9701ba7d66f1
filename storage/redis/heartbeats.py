"""Renewal of leases in Redis, on a connection of its own in the heartbeat's thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..records import Beat, HeartbeatReply, Orphan
from . import rows
from .address import Address
from .connection import SOCKET_TIMEOUT_S, Info, Script, Server

_LEAST_TIMEOUT_S = 1.0
_HEARTBEAT = Script("lua/jobs/heartbeat.lua")


class RedisHeartbeat(HeartbeatStore):
    """A client of its own, on the event loop that opened it."""

    def __init__(self, opened: Server, clock: Clock) -> None:
        self._opened = opened
        self._server = Server(opened.address)
        self._clock = clock

    async def open(self) -> None:
        self._server.store_id = self._opened.store_id

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        if not self._server.is_open:
            # A silent connection must be given up while there is time to renew over another one.
            self._server.timeout_s = min(SOCKET_TIMEOUT_S, max(lease_ms / 4000, _LEAST_TIMEOUT_S))
            self._server.open()
        batch: list[Any] = [lease_ms, boot_id, rows.packed_sight(self._clock.wall_ms(), report)]
        for job_id, claim_token, progress in beats:
            batch += (job_id, claim_token, False if progress is None else progress)
        time = self._opened.time
        asked = time.asks() if time is not None else 0.0
        lost, stopped, orphans, now_ms = await self._server.call(_HEARTBEAT, rows.packed(batch))
        if time is not None:
            time.told(now_ms + 0.5, asked)  # cut to whole milliseconds
        info = await self._server.info()
        return HeartbeatReply(
            [beats[index].id for index in lost],
            [beats[index].id for index in stopped],
            [Orphan(job_id, claim_token, queue.decode()) for job_id, claim_token, queue in orphans],
            up_ms=int(info.get("uptime_in_seconds", 0)) * 1000,
            trouble=_trouble(info, self._server.address),
        )

    async def close(self) -> None:
        await self._server.close()


def _trouble(info: Info, address: Address) -> str | None:
    """A setting with which opening would have been refused, changed since."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    return (
        f"{address} has maxmemory-policy {policy} now, with which Redis drops jobs when memory is short; expected "
        "noeviction: redis-cli CONFIG SET maxmemory-policy noeviction"
    )
