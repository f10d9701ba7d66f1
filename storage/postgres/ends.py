"""The fenced verbs that end a claim: `finish`, `retry`, `snooze`, `hand_back`.

The fence is the DELETE from `running` by id, token and boot id: whoever deleted the row owns what follows. A write that
found no row may be the repeat of one whose reply was lost; then the job stands where that one left it, under the same
token and boot id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeVar

from ...kernel.clock import Clock
from ..job import JobState
from ..records import ErrorRecord, Finish, HandBack, Retry, Snooze
from .lane import Lane
from .rows import AVAILABLE, CANCELLED, RETRYABLE, SCHEDULED, columns, errors_of, in_order, storable


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
        accepted: list[tuple[bytes, int]] = []
        for some in _rounds(ends):
            accepted += await self._write_ends(some, boot_id)
        if len(accepted) == len(ends):
            return [True] * len(ends)
        fenced = [_Fenced(end.id, end.claim_token, (end.state.code,)) for end in ends]
        return await self._standing(fenced, set(accepted), boot_id)

    async def _write_ends(self, ends: list[Finish], boot_id: bytes) -> list[tuple[bytes, int]]:
        """Ids and tokens of the claims that end now. The leaner statement does where it can say all there is."""
        ids, tokens, queues, states, attempts, results, reasons, errors = columns(ends, 8)
        count, now = len(ends), self._clock.wall_ms()
        kept = [] if results.count(None) == count else results
        queue = queues[0] if queues else ""
        is_plain = states.count(JobState.COMPLETED) == errors.count(None) == reasons.count(None) == count
        if is_plain and queues.count(queue) == count:
            [some] = await self._lane.fetch("jobs/complete", ids, tokens, kept, queue, boot_id, now)
            return list(zip(*(some if some[0] is not None else (ids, tokens)), strict=True))
        rows = await self._lane.fetch(
            "jobs/finish",
            ids,
            tokens,
            [state.code for state in states],
            queues,
            kept,
            [] if reasons.count(None) == count else [None if one is None else storable(one) for one in reasons],
            attempts,
            *errors_of(errors),
            boot_id,
            now,
        )
        return [(row["id"], row["claim_token"]) for row in rows]

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
        accepted: list[tuple[bytes, int]] = []
        for some in _rounds(backs):
            ids, tokens, becomes, queues, run_ats, attempts, errors = columns(some, 7)
            rows = await self._lane.fetch(
                "jobs/put_back",
                ids,
                tokens,
                becomes,
                queues,
                run_ats,
                attempts,
                *errors_of(errors),
                boot_id,
                self._clock.wall_ms(),
                restored,
            )
            accepted += [(row["id"], row["claim_token"]) for row in rows]
        if len(accepted) == len(backs):
            return [True] * len(backs)
        fenced = [_Fenced(back.id, back.claim_token, states) for back in backs]
        return await self._standing(fenced, set(accepted), boot_id)

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


_Write = TypeVar("_Write", Finish, _Back)


def _rounds(writes: Sequence[_Write]) -> list[list[_Write]]:
    """Each claim's first write, in lists that name each id once, in order: one list, but for ids under two tokens."""
    by_id = {write.id: write for write in writes}
    if len(by_id) == len(writes):
        return [[by_id[job_id] for job_id in sorted(by_id)]]
    first: dict[tuple[bytes, int], _Write] = {}
    for write in writes:
        first.setdefault((write.id, write.claim_token), write)
    rounds: list[dict[bytes, _Write]] = []
    for (job_id, _), write in sorted(first.items(), key=itemgetter(0)):
        fitting = next((one for one in rounds if job_id not in one), None)
        if fitting is None:
            fitting = {}
            rounds.append(fitting)
        fitting[job_id] = write
    return [list(one.values()) for one in rounds]
