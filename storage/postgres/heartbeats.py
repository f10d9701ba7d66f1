"""The heartbeat's handle: a connection of its own, on the event loop of the heartbeat's thread."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from operator import attrgetter

from ...kernel.clock import Clock
from ..errors import StorageReset, Unavailable
from ..ports.jobs import HeartbeatStore
from ..records import Beat, HeartbeatReply, Orphan
from .lane import TIMEOUT_S, Lane, Row, Server
from .rows import in_order

_by_id = attrgetter("id")
_LEAST_S = 1.0


class PostgresHeartbeat(HeartbeatStore):
    """Renews leases in rows that hold little else."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._lane = Lane(server)
        self._timeout_s = TIMEOUT_S
        self._unsent: dict[bytes, bytes] = {}  # progress of leases that were passed over

    async def open(self) -> None:
        # A server that is away now must not stop the heart: each beat tries again.
        with contextlib.suppress(Unavailable):
            await self._lane.open()

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        # A silent connection must be given up while there is time to renew over another one.
        self._timeout_s = min(TIMEOUT_S, max(lease_ms / 4000, _LEAST_S))
        named = {beat.id: beat._replace(progress=beat.progress or self._unsent.get(beat.id)) for beat in beats}
        renewed = await self._renew(list(named.values()), boot_id, lease_ms)
        time = self._server.time
        asked = time.asks() if time is not None else 0.0
        [[up_ms, now_ms, store_id]] = await self._fetch("nodes/beat", boot_id, self._clock.wall_ms(), report)
        if time is not None:
            time.told(now_ms, asked)
        if store_id != self._server.store_id:
            raise StorageReset(f"{self._server.shown} was emptied or replaced")
        held = dict(await self._held(boot_id))
        # Passed over, because somebody is writing it: a cancel, or a handler's own transaction (`ctx.complete`), which
        # may take its time. Nobody can take the job meanwhile, so it is neither lost nor, until the next beat, renewed.
        busy = {one.id for one in named.values() if one.id not in renewed and held.get(one.id) == one.claim_token}
        self._unsent = {job_id: told for job_id in busy if (told := named[job_id].progress) is not None}
        return HeartbeatReply(
            lost=[beat.id for beat in beats if beat.id not in renewed and beat.id not in busy],
            cancel_requested=[beat.id for beat in beats if renewed.get(beat.id)],
            orphans=await self._orphans({job_id: token for job_id, token in held.items() if job_id not in named}),
            up_ms=up_ms if up_ms >= 0 else None,  # the server's clock was put back since
        )

    async def close(self) -> None:
        await self._lane.close()

    async def _renew(self, beats: list[Beat], boot_id: bytes, lease_ms: int) -> dict[bytes, bool]:
        """Per renewed job: whether its cancellation was requested."""
        beats.sort(key=_by_id)
        progress = [beat.progress for beat in beats]
        rows = await self._fetch(
            "leases/renew",
            [beat.id for beat in beats],
            [beat.claim_token for beat in beats],
            progress if any(one is not None for one in progress) else [],
            boot_id,
            lease_ms,
        )
        return {row["id"]: row["cancel_requested"] for row in rows}

    async def _held(self, boot_id: bytes) -> list[tuple[bytes, int]]:
        return [(row["id"], row["claim_token"]) for row in await self._fetch("leases/held", boot_id)]

    async def _orphans(self, tokens: dict[bytes, int]) -> list[Orphan]:
        if not tokens:
            return []
        rows = await self._fetch("leases/queues_of", in_order(tokens))
        return [Orphan(row["id"], tokens[row["id"]], row["queue"]) for row in rows]

    async def _fetch(self, name: str, *values: object) -> list[Row]:
        return await self._lane.fetch(name, *values, timeout_s=self._timeout_s)
