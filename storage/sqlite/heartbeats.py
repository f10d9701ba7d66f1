"""The heartbeat's handle: it hands its beats to the writer, at the front of what waits, from its own event loop.

It shares the writer's connection on purpose. A second connection would stand in line for the file's lock against its
own process; here a beat waits at most for the one transaction that is under way, which is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ports.jobs import HeartbeatStore
from ..records import Beat, HeartbeatReply
from . import leases
from .writer import Writer


class SqliteHeartbeat(HeartbeatStore):
    """Renews leases by way of the writer of its store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def open(self) -> None:
        pass

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        call = leases.Heartbeat(beats, boot_id, lease_ms, report)
        return await self._writer.submit(leases.heartbeat, call, rows=len(beats), is_urgent=True)

    async def close(self) -> None:
        pass
