"""How a job is kept in memory: one mutable record, and the lines in which records wait for their turn."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

from ..job import Job, JobState, NewJob
from ..records import Failure

# States are kept as their codes: an int in a list of counters costs a third of an enum member in a dict.
AVAILABLE = JobState.AVAILABLE.code
SCHEDULED = JobState.SCHEDULED.code
RETRYABLE = JobState.RETRYABLE.code
EXECUTING = JobState.EXECUTING.code
COMPLETED = JobState.COMPLETED.code
FAILED = JobState.FAILED.code
CANCELLED = JobState.CANCELLED.code
STATES: tuple[JobState, ...] = tuple(JobState.of_code(code) for code in range(len(JobState)))


class Record:
    """A job and where it waits. The fields are those of `Job`."""

    __slots__ = (
        "attempt",
        "boot_id",
        "cancel_requested",
        "claim_token",
        "crashes",
        "failures",
        "finished_at",
        "inserted_at",
        "lease_until",
        "line",
        "new",
        "progress",
        "reason",
        "result",
        "run_at",
        "started_at",
        "state",
        "vtime",
    )

    def __init__(self, new: NewJob, state: int, run_at: int, inserted_at: int) -> None:
        self.new = new
        self.state = state
        self.run_at = run_at
        self.inserted_at = inserted_at
        self.vtime = run_at
        self.attempt = 0
        self.claim_token = 0
        self.crashes = 0
        self.boot_id: bytes | None = None
        self.lease_until = 0
        self.started_at: int | None = None
        self.finished_at: int | None = None
        self.cancel_requested = False
        self.result: bytes | None = None
        self.reason: str | None = None
        self.progress: bytes | None = None
        self.failures: list[Failure] | None = None
        self.line: Line | None = None

    def __lt__(self, other: Record) -> bool:
        # A line may hold a dead entry and a live one of the same job and key; their order does not matter.
        return False

    def as_job(self) -> Job:
        new = self.new
        return Job(
            id=new.id,
            name=new.name,
            queue=new.queue,
            state=STATES[self.state],
            priority=new.priority,
            vtime=self.vtime,
            run_at=self.run_at,
            inserted_at=self.inserted_at,
            attempt=self.attempt,
            claim_token=self.claim_token,
            crashes=self.crashes,
            payload=new.payload,
            timeout_ms=new.timeout_ms,
            boot_id=self.boot_id,
            lease_until=self.lease_until if self.state == EXECUTING else None,
            started_at=self.started_at,
            finished_at=self.finished_at,
            cancel_requested=self.cancel_requested,
            result=self.result,
            reason=self.reason,
            progress=self.progress,
        )


Entry = tuple[int, bytes, Record]


class Line:
    """Records in the order (key, id). What arrives in order waits in a deque; what comes later than its place, beside
    it in a heap: work handed back or rescued, a clock set back, ids of several producers within one millisecond.

    A record waits in one line at most (`Record.line`). Taking it out of the middle leaves a dead entry behind; those
    are passed over, and swept out before they outnumber the living. A record that was taken out never comes back to
    the same line, or the dead entry would mean it again: `revive` makes a new one.
    """

    __slots__ = ("_dead", "_late", "_ordered")

    def __init__(self) -> None:
        self._ordered: deque[Entry] = deque()
        self._late: list[Entry] = []
        self._dead = 0

    def __len__(self) -> int:
        return self.held() - self._dead

    def held(self) -> int:
        """Entries kept, the dead ones too."""
        return len(self._ordered) + len(self._late)

    def push(self, key: int, record: Record) -> None:
        record.line = self
        job_id = record.new.id
        ordered = self._ordered
        if ordered:
            last = ordered[-1]
            if key < last[0] or (key == last[0] and job_id < last[1]):
                heappush(self._late, (key, job_id, record))
                return
        ordered.append((key, job_id, record))

    def pop(self) -> Record | None:
        """The first record, out of the line; None when nobody waits."""
        ordered, late = self._ordered, self._late
        while True:
            if late and not (ordered and ordered[0] < late[0]):
                record = heappop(late)[2]
            elif ordered:
                record = ordered.popleft()[2]
            else:
                return None
            if record.line is self:
                record.line = None
                return record
            self._dead -= 1

    def first_key(self) -> int | None:
        """The key of the first record, or None when nobody waits."""
        ordered, late = self._ordered, self._late
        while ordered and ordered[0][2].line is not self:
            ordered.popleft()
            self._dead -= 1
        while late and late[0][2].line is not self:
            heappop(late)
            self._dead -= 1
        if late and not (ordered and ordered[0] < late[0]):
            return late[0][0]
        return ordered[0][0] if ordered else None

    def discard(self, record: Record) -> None:
        """Take a record that waits here out of the line, wherever it stands."""
        record.line = None
        self._dead += 1
        held = self.held()
        if held <= 64 or self._dead * 2 > held:
            self._sweep()

    def _sweep(self) -> None:
        self._ordered = deque(entry for entry in self._ordered if entry[2].line is self)
        self._late = [entry for entry in self._late if entry[2].line is self]
        heapify(self._late)
        self._dead = 0
