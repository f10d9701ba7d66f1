"""What this node holds leases on: written by dispatchers and workers on the loop, read as a snapshot by the heartbeat.

Each operation is one dict operation, so the heartbeat's thread may read while the loop writes.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..storage.job import Claimed
from ..storage.records import Beat


class InFlight:
    """The node's leases, and the counters of what happened to them."""

    def __init__(self) -> None:
        self._leases: dict[bytes, tuple[int, str, float]] = {}  # id -> claim token, queue, trusted since
        self._progress: dict[bytes, bytes] = {}
        self._completing: set[bytes] = set()
        self.claims_under_way = 0  # a claim's leases are unknown here until its reply is in
        self.refused_writes = 0  # writes that came too late and were refused by the store
        self.lost_leases = 0  # attempts stopped because their lease was gone

    def __len__(self) -> int:
        return len(self._leases)

    def hold(self, jobs: Iterable[Claimed], since: float) -> None:
        """Count the jobs' leases as ours from now on; `since`: monotonic seconds when the claim began."""
        for job in jobs:
            self._leases[job.id] = (job.claim_token, job.queue, since)

    def renewed(self, beats: Iterable[Beat], since: float) -> None:
        """Count those leases as renewed by a beat that began at `since`; not those that ended or changed meanwhile."""
        for beat in beats:
            lease = self._leases.get(beat.id)
            if lease is not None and lease[0] == beat.claim_token:
                self._leases[beat.id] = (lease[0], lease[1], since)

    def release(self, job_id: bytes, claim_token: int) -> None:
        """Forget a lease; a newer lease on the same job stays."""
        lease = self._leases.get(job_id)
        if lease is not None and lease[0] == claim_token:
            del self._leases[job_id]
            if self._progress:
                self._progress.pop(job_id, None)
            if self._completing:
                self._completing.discard(job_id)

    def holds(self, job_id: bytes, claim_token: int) -> bool:
        """Whether this very lease is held."""
        lease = self._leases.get(job_id)
        return lease is not None and lease[0] == claim_token

    def completing(self, job_id: bytes) -> None:
        """The job's end is part of a handler's transaction: from now on its lease may be gone because it has ended."""
        self._completing.add(job_id)

    def is_completing(self, job_id: bytes) -> bool:
        """Whether a lease that is gone says nothing about who has the job."""
        return job_id in self._completing

    def queue_of(self, job_id: bytes) -> str | None:
        """The queue whose worker has the job, or None once it is released."""
        lease = self._leases.get(job_id)
        return None if lease is None else lease[1]

    def tokens(self, job_ids: Iterable[bytes]) -> list[tuple[bytes, int]]:
        """Ids and claim tokens of those that are held."""
        return [(job_id, self._leases[job_id][0]) for job_id in job_ids if job_id in self._leases]

    def of_queue(self, queue: str) -> list[tuple[bytes, int]]:
        """Ids and claim tokens of the queue's jobs."""
        return [(job_id, token) for job_id, (token, of, _) in self._leases.items() if of == queue]

    def older_than(self, limit: float) -> list[bytes]:
        """Jobs leased or last renewed before that monotonic second."""
        return [job_id for job_id, (_, _, since) in self._leases.items() if since < limit]

    def note_progress(self, job_id: bytes, progress: bytes) -> None:
        """Let the next heartbeat carry what the handler reported."""
        if job_id in self._leases:
            self._progress[job_id] = progress

    def beats(self) -> list[Beat]:
        """All leases as they are now, each with the progress that was not sent yet."""
        taken, self._progress = self._progress, {}
        return [Beat(job_id, lease[0], taken.get(job_id)) for job_id, lease in list(self._leases.items())]

    def put_back(self, beats: Iterable[Beat]) -> None:
        """Keep the progress of beats that did not reach the store, unless the handler has reported anew."""
        for beat in beats:
            if beat.progress is not None and beat.id in self._leases:
                self._progress.setdefault(beat.id, beat.progress)
