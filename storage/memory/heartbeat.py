"""Renewal of leases in memory, called from the heartbeat's own thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..records import Beat, HeartbeatReply, Orphan
from .board import Board
from .jobs import lease_now


class MemoryHeartbeat(HeartbeatStore):
    """A handle on the board; there is nothing to open or to close."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    async def open(self) -> None:
        pass

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        board, lease_until = self._board, lease_now(self._clock) + lease_ms
        lost, cancel_requested = [], []
        with board.lock:
            for beat in beats:
                record = board.leased(beat.id, beat.claim_token, boot_id)
                if record is None:
                    lost.append(beat.id)
                    continue
                record.lease_until = lease_until
                if beat.progress is not None:
                    record.progress = beat.progress
                if record.cancel_requested:
                    cancel_requested.append(beat.id)
            named = {beat.id for beat in beats}
            orphans = [
                Orphan(job_id, record.claim_token, record.queue)
                for job_id, record in board.running.items()
                if record.boot_id == boot_id and job_id not in named
            ]
            node = board.nodes.get(boot_id)
            if node is not None:
                board.nodes[boot_id] = replace(node, report=report, seen_at=self._clock.wall_ms())
        return HeartbeatReply(lost, cancel_requested, orphans)

    async def close(self) -> None:
        pass
