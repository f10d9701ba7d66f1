"""The fenced verbs that end a claim: `finish`, `retry`, `snooze`, `hand_back`.

The fence is the DELETE from `running` by id, token and boot id: whoever deleted the row owns what follows. A write that
found no row may be the repeat of one whose reply was lost; then the job stands where that one left it, under the same
token and boot id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeVar

from ...kernel.clock import Clock
from ..records import ErrorRecord, Finish, HandBack, Retry, Snooze
from .lane import Lane
from .rows import AVAILABLE, CANCELLED, RETRYABLE, SCHEDULED, errors_of, in_order, storable


class _Fenced(NamedTuple):
    """A write for one claim, and what tells that it has been written before."""

    id: bytes
    claim_token: int
    states: Collection[int]


class _Back(NamedTuple):
    """A job that returns to the line, by whichever verb."""

    id: bytes
    claim_token: int
    state: int
    queue: str
    run_at: int | None = None  # None: as it is
    attempt: int = 0
    error: ErrorRecord | None = None


class Ends:
    """Ends of claims of one handle."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def finish(self, ends: Sequence[Finish], boot_id: bytes) -> list[bool]:
        """Per end: whether it stands."""
        rows = await self._lane.fetch("jobs/finish", *finish_values(ends, boot_id, self._clock.wall_ms()))
        if len(rows) == len(ends):
            return [True] * len(ends)
        fenced = [_Fenced(end.id, end.claim_token, (end.state.code,)) for end in ends]
        return await self._standing(fenced, {(row["id"], row["claim_token"]) for row in rows}, boot_id)

    async def retry(self, retries: Sequence[Retry], boot_id: bytes) -> list[bool]:
        """Per retry: whether it stands."""
        backs = [
            _Back(one.id, one.claim_token, RETRYABLE, one.queue, one.run_at, one.attempt, one.error) for one in retries
        ]
        return await self._put_back(backs, boot_id, restored=0, states=(RETRYABLE, CANCELLED))

    async def snooze(self, snoozes: Sequence[Snooze], boot_id: bytes) -> list[bool]:
        """Per snooze: whether it stands."""
        backs = [_Back(one.id, one.claim_token, SCHEDULED, one.queue, one.run_at) for one in snoozes]
        return await self._put_back(backs, boot_id, restored=1, states=(SCHEDULED, CANCELLED))

    async def hand_back(self, jobs: Sequence[HandBack], boot_id: bytes) -> list[bool]:
        """Per job: whether it was given back."""
        now = self._clock.wall_ms()
        backs = [
            _Back(one.id, one.claim_token, AVAILABLE, one.queue)
            if one.run_at is None or one.run_at <= now
            else _Back(one.id, one.claim_token, SCHEDULED, one.queue, one.run_at)
            for one in jobs
        ]
        return await self._put_back(backs, boot_id, restored=1, states=(AVAILABLE, SCHEDULED, CANCELLED))

    async def _put_back(
        self, backs: Sequence[_Back], boot_id: bytes, *, restored: int, states: Collection[int]
    ) -> list[bool]:
        first = _first_of_each(backs)
        rows = await self._lane.fetch(
            "jobs/put_back",
            [back.id for back in first],
            [back.claim_token for back in first],
            [back.state for back in first],
            [back.queue for back in first],
            [back.run_at for back in first],
            [back.attempt for back in first],
            *errors_of([back.error for back in first]),
            boot_id,
            self._clock.wall_ms(),
            restored,
        )
        if len(rows) == len(backs):
            return [True] * len(backs)
        fenced = [_Fenced(back.id, back.claim_token, states) for back in backs]
        return await self._standing(fenced, {(row["id"], row["claim_token"]) for row in rows}, boot_id)

    async def _standing(
        self, writes: Sequence[_Fenced], accepted: set[tuple[bytes, int]], boot_id: bytes
    ) -> list[bool]:
        """Which writes stand: accepted just now, or found as an earlier one left them."""
        asked = in_order(write.id for write in writes)
        stands = {row["id"]: row for row in await self._lane.fetch("jobs/stand", asked)}
        answers: list[bool] = []
        for job_id, claim_token, states in writes:
            row = stands.get(job_id)
            if (job_id, claim_token) in accepted:
                accepted.discard((job_id, claim_token))  # a further one in the batch is a repeat
                answers.append(True)
            elif row is None:
                answers.append(False)
            else:
                is_its = row["claim_token"] == claim_token and row["boot_id"] == boot_id
                answers.append(is_its and row["state"] in states)
        return answers


def finish_values(ends: Sequence[Finish], boot_id: bytes, now: int) -> tuple[list[bytes], *tuple[Any, ...], bytes, int]:
    """What `jobs/finish.sql` takes: ids first, boot id and time last."""
    first = _first_of_each(ends)
    results = [end.result for end in first]
    reasons = [None if end.reason is None else storable(end.reason) for end in first]
    return (
        [end.id for end in first],
        [end.claim_token for end in first],
        [end.state.code for end in first],
        [end.queue for end in first],
        results if any(result is not None for result in results) else [],
        reasons if any(reason is not None for reason in reasons) else [],
        [end.attempt for end in first],
        *errors_of([end.error for end in first]),
        boot_id,
        now,
    )


_Write = TypeVar("_Write", Finish, _Back)


def _first_of_each(writes: Sequence[_Write]) -> list[_Write]:
    """Each claim's first write, in the order of ids."""
    first: dict[tuple[bytes, int], _Write] = {}
    for write in writes:
        first.setdefault((write.id, write.claim_token), write)
    return [first[key] for key in sorted(first)]
