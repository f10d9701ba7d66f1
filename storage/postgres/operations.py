"""The verbs of operators and of housekeeping: `cancel`, `revive`, `delete`, `prune`, `rescue`.

A job that another transaction moves from table to table at this moment is found in neither. Such jobs are asked for
again, within the same transaction, until each was met or is known to be gone. One whose row a transaction of its
handler has is not waited for: everything else of this node that writes would wait too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...kernel.clock import Clock, SystemClock
from ..errors import Unavailable
from ..job import JobState
from ..records import CancelAnswer, ErrorRecord, Rescued
from ..role import Term
from .fences import run_fenced
from .lane import TIMEOUT_S, Connection, Lane
from .rows import CANCELLED, EXECUTING, STATES, in_order, storable

_LEASE_LOST = ErrorRecord("lease lost", "the lease ran out before the attempt ended", "")
_ROUNDS = 200
_ROUNDS_HELD = 20  # a row may be held for the moment of a renewal or an end; then longer ones are taken for a handler's
_HELD = -1  # the state of a job whose row another transaction has
_PAUSE_S = 0.005


class Operations:
    """Operators' verbs of one handle."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def cancel(self, job_ids: Sequence[bytes], reason: str) -> list[CancelAnswer]:
        """Per job: what the cancel met."""
        met = await self._meet("jobs/cancel", job_ids, storable(reason), self._clock.wall_ms())
        return [_cancelled(met.get(job_id)) for job_id in job_ids]

    async def revive(self, job_ids: Sequence[bytes]) -> list[bool]:
        """Per job: whether it is available now."""
        met = await self._meet("jobs/revive", job_ids, self._clock.wall_ms())
        return [met.get(job_id, EXECUTING) != EXECUTING for job_id in job_ids]

    async def delete(self, job_ids: Sequence[bytes]) -> list[bool]:
        """Per job: whether it was removed; of an id named twice, the first."""
        met = await self._meet("jobs/delete", job_ids)
        return [met.pop(job_id, EXECUTING) != EXECUTING for job_id in job_ids]

    async def prune(self, finished_before: int, limit: int, fence: Term | None) -> int:
        """How many jobs were removed."""
        text = self._lane.server.text("jobs/prune")

        async def prune(connection: Connection) -> int:
            return int(await connection.fetchval(text, finished_before, max(limit, 0), timeout=TIMEOUT_S))

        return await run_fenced(self._lane, fence, prune)

    async def rescue(self, limit: int, max_crashes: int) -> list[Rescued]:
        """The jobs that were taken, the longest expired first."""
        rows = await self._lane.fetch("leases/rescue", max(limit, 0), max_crashes, self._clock.wall_ms(), *_LEASE_LOST)
        return [Rescued(row["id"], row["queue"], STATES[row["state"]]) for row in rows]

    async def _meet(self, name: str, job_ids: Sequence[bytes], *values: object) -> dict[bytes, int]:
        """Per job that is there, the state in which the statement met it."""
        server = self._lane.server
        statement, known = server.text(name), server.text("jobs/known")

        async def until_all_met(connection: Connection) -> dict[bytes, int]:
            met: dict[bytes, int] = {}
            left = in_order(job_ids)
            async with connection.transaction(isolation="read_committed"):  # each round sees what was committed
                for rounds in range(_ROUNDS):
                    if not left:
                        return met
                    met |= {row["id"]: row["state"] for row in await connection.fetch(statement, left, *values)}
                    is_patient = rounds < _ROUNDS_HELD
                    left = [job_id for job_id in left if job_id not in met or (is_patient and met[job_id] == _HELD)]
                    if not left:
                        return met
                    there = await connection.fetch(known, left)
                    left = in_order(row["id"] for row in there)
                    if left:
                        await SystemClock().sleep(_PAUSE_S)
            raise Unavailable(f"{server.shown}: {len(left)} jobs move faster than they can be met")

        return await self._lane.run(until_all_met)


def _cancelled(state: int | None) -> CancelAnswer:
    if state is None:
        return CancelAnswer.MISSING
    if state == EXECUTING:
        return CancelAnswer.REQUESTED
    if state == _HELD:
        return CancelAnswer.ENDING
    if JobState.of_code(state).is_terminal and state != CANCELLED:
        return CancelAnswer.TOO_LATE
    return CancelAnswer.CANCELLED
