"""What a store should do, in the plainest words: one dict of jobs, looked through from end to end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from callboard.storage.job import TERMINAL, WAITING, Claimed, Job, JobState, NewJob
from callboard.storage.records import CancelAnswer, ErrorRecord, QueueRow

AVAILABLE, EXECUTING, CANCELLED = JobState.AVAILABLE, JobState.EXECUTING, JobState.CANCELLED
Failed = tuple[int, int, str]  # claim token, attempt, kind


@dataclass(slots=True)
class Reference:
    """The whole state, and each verb as the ports describe it. `now` is wall time, `lease_now` the lease clock."""

    now: int
    lease_now: int = 0
    jobs: dict[bytes, Job] = field(default_factory=dict)
    failures: dict[bytes, list[Failed]] = field(default_factory=dict)
    queues: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)

    def pass_time(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.lease_now += seconds * 1000

    def insert(self, new: NewJob) -> bool:
        if new.id in self.jobs:
            return False
        run_at = self.now if new.run_at is None else new.run_at
        self.jobs[new.id] = Job(
            id=new.id,
            name=new.name,
            queue=new.queue,
            state=JobState.SCHEDULED if run_at > self.now else AVAILABLE,
            priority=new.priority,
            vtime=run_at,
            run_at=run_at,
            inserted_at=self.now,
            attempt=0,
            claim_token=0,
            crashes=0,
            payload=new.payload,
            timeout_ms=new.timeout_ms,
        )
        self.failures[new.id] = []
        self.queues.add(new.queue)
        return True

    def claim(self, queue: str, limit: int, boot_id: bytes, lease_ms: int) -> list[bytes]:
        if queue in self.paused:
            return []
        for job in self._of(queue, {JobState.SCHEDULED, JobState.RETRYABLE}):
            if job.run_at <= self.now:
                self._set(job, state=AVAILABLE, vtime=job.run_at)
        line = sorted(self._of(queue, {AVAILABLE}), key=lambda job: (job.priority, job.vtime, job.id))
        for job in line[:limit]:
            self._set(
                job,
                state=EXECUTING,
                claim_token=job.claim_token + 1,
                attempt=job.attempt + 1,
                boot_id=boot_id,
                started_at=self.now,
                lease_until=self.lease_now + lease_ms,
            )
        return [job.id for job in line[:limit]]

    def next_run_at(self, queue: str) -> int | None:
        return min((job.run_at for job in self._of(queue, {JobState.SCHEDULED, JobState.RETRYABLE})), default=None)

    def holds(self, claimed: Claimed, boot_id: bytes) -> Job | None:
        """The job, if it executes under exactly this claim."""
        job = self.jobs.get(claimed.id)
        is_held = job and (job.state, job.claim_token, job.boot_id) == (EXECUTING, claimed.claim_token, boot_id)
        return job if is_held else None

    def stands(self, claimed: Claimed, boot_id: bytes, *states: JobState) -> bool:
        """Whether the same claim wrote something like this before."""
        job = self.jobs.get(claimed.id)
        return (
            job is not None and (job.claim_token, job.boot_id) == (claimed.claim_token, boot_id) and job.state in states
        )

    def finish(
        self, claimed: Claimed, boot_id: bytes, state: JobState, result: bytes | None, reason: str | None
    ) -> bool:
        if (job := self.holds(claimed, boot_id)) is None:
            return self.stands(claimed, boot_id, state)
        kept = job.reason if state is CANCELLED and reason is None else reason
        self._release(job, state=state, finished_at=self.now, result=result, reason=kept)
        return True

    def retry(self, claimed: Claimed, boot_id: bytes, run_at: int, error: ErrorRecord) -> bool:
        if (job := self.holds(claimed, boot_id)) is None:
            return self.stands(claimed, boot_id, JobState.RETRYABLE, CANCELLED)
        self.failures[job.id].append((job.claim_token, job.attempt, error.kind))
        self._put_back(job, JobState.RETRYABLE, run_at=run_at)
        return True

    def snooze(self, claimed: Claimed, boot_id: bytes, run_at: int) -> bool:
        if (job := self.holds(claimed, boot_id)) is None:
            return self.stands(claimed, boot_id, JobState.SCHEDULED, CANCELLED)
        self._put_back(job, JobState.SCHEDULED, attempt=job.attempt - 1, run_at=run_at)
        return True

    def hand_back(self, claimed: Claimed, boot_id: bytes, run_at: int | None) -> bool:
        if (job := self.holds(claimed, boot_id)) is None:
            return self.stands(claimed, boot_id, AVAILABLE, JobState.SCHEDULED, CANCELLED)
        if run_at is None or run_at <= self.now:
            self._put_back(job, AVAILABLE, attempt=job.attempt - 1)
        else:
            self._put_back(job, JobState.SCHEDULED, attempt=job.attempt - 1, run_at=run_at)
        return True

    def heartbeat(
        self, claims: list[Claimed], boot_id: bytes, lease_ms: int, progress: bytes | None
    ) -> list[list[bytes]]:
        """Lost, asked to stop, orphans."""
        held = {claimed.id: job for claimed in claims if (job := self.holds(claimed, boot_id))}
        for job in held.values():
            self._set(job, lease_until=self.lease_now + lease_ms, progress=progress or job.progress)
        mine = [job.id for job in self.jobs.values() if job.state is EXECUTING and job.boot_id == boot_id]
        named = {claimed.id for claimed in claims}
        return [
            [claimed.id for claimed in claims if claimed.id not in held],
            [job_id for job_id, job in held.items() if job.cancel_requested],
            sorted(job_id for job_id in mine if job_id not in named),
        ]

    def rescue(self, max_crashes: int) -> dict[bytes, JobState]:
        rescued = {}
        for job in list(self.jobs.values()):
            if job.lease_until is None or job.lease_until > self.lease_now:
                continue
            self.failures[job.id].append((job.claim_token, job.attempt, "lease lost"))
            again = {"attempt": job.attempt - 1, "crashes": job.crashes + 1, "boot_id": None}
            if job.crashes + 1 >= max_crashes and not job.cancel_requested:
                self._release(job, state=JobState.FAILED, finished_at=self.now, reason="poison", **again)
            else:
                self._put_back(job, AVAILABLE, **again)
            rescued[job.id] = self.jobs[job.id].state
        return rescued

    def cancel(self, job_id: bytes, reason: str) -> CancelAnswer:
        job = self.jobs.get(job_id)
        if job is None:
            return CancelAnswer.MISSING
        if job.state is EXECUTING:
            self._set(job, cancel_requested=True, reason=reason)
            return CancelAnswer.REQUESTED
        if job.state in WAITING:
            self._set(job, state=CANCELLED, finished_at=self.now, reason=reason, boot_id=None)
        return CancelAnswer.TOO_LATE if self.jobs[job_id].state is not CANCELLED else CancelAnswer.CANCELLED

    def revive(self, job_id: bytes) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state is EXECUTING:
            return False
        line = {} if job.state is AVAILABLE else {"run_at": self.now, "vtime": self.now}
        gone = dict.fromkeys(["boot_id", "started_at", "finished_at", "result", "reason", "progress"])
        self._set(job, state=AVAILABLE, attempt=0, crashes=0, **line, **gone)
        return True

    def delete(self, job_id: bytes) -> bool:
        if job_id not in self.jobs or self.jobs[job_id].state is EXECUTING:
            return False
        del self.jobs[job_id], self.failures[job_id]
        return True

    def prune(self, finished_before: int) -> int:
        old = [
            job.id for job in self.jobs.values() if job.state in TERMINAL and (job.finished_at or 0) < finished_before
        ]
        return sum(self.delete(job_id) for job_id in old)

    def rows(self) -> list[QueueRow]:
        rows = []
        for name in sorted(self.queues):
            counts = {state: len(self._of(name, {state})) for state in JobState}
            oldest = min((job.run_at for job in self._of(name, {AVAILABLE})), default=None)
            rows.append(QueueRow(name, name in self.paused, counts, oldest))
        return rows

    def _of(self, queue: str, states: set[JobState]) -> list[Job]:
        return [job for job in self.jobs.values() if job.queue == queue and job.state in states]

    def _set(self, job: Job, **changes: object) -> None:
        self.jobs[job.id] = replace(job, **changes)  # type: ignore[arg-type]

    def _release(self, job: Job, **changes: object) -> None:
        self._set(job, lease_until=None, cancel_requested=False, **changes)

    def _put_back(self, job: Job, state: JobState, **changes: object) -> None:
        if job.cancel_requested:
            self._release(job, **{**changes, "run_at": job.run_at}, state=CANCELLED, finished_at=self.now)
        else:
            self._release(job, **changes, state=state)
