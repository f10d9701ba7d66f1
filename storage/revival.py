"""Reviving jobs once, however often the call is made.

Every other write is refused, or does nothing, when it is made again: it carries an id, a token or a state that is no
longer there. A revived job may have run and ended before the call is repeated, so that it looks as it did before, and
would run once more. What it was like before the first call tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from .job import Job, JobState
from .ports.jobs import JobStore

_End = tuple[JobState, int, int | None]


class Revival:
    """One call; `again` may be repeated until it is answered."""

    def __init__(self, jobs: JobStore, job_ids: Sequence[bytes]) -> None:
        self._jobs = jobs
        self._ids = job_ids
        self._ends: dict[bytes, _End] | None = None  # of the jobs that had ended, before the first call

    async def again(self) -> list[bool]:
        """Which of them were revived, by this call or one before it."""
        if self._ends is None:
            self._ends = await self._ended()
            return await self._jobs.revive(self._ids)
        now = await self._ended()
        left = [job_id for job_id, end in self._ends.items() if now.get(job_id) == end]
        revived = dict(zip(left, await self._jobs.revive(left), strict=True))
        return [job_id in self._ends and revived.get(job_id, True) for job_id in self._ids]

    async def _ended(self) -> dict[bytes, _End]:
        return {
            job.id: _end(job) for job in await self._jobs.get(self._ids) if job is not None and job.state.is_terminal
        }


def _end(job: Job) -> _End:
    return job.state, job.claim_token, job.finished_at
