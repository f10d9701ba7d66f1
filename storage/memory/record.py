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
    """A job and where it waits. The fields are those of `Job`, and flat: whatever the garbage collector has to visit
    besides the record itself makes inserts slower, since it visits all of a million waiting jobs now and then.
    """

    __slots__ = (
        "attempt",
        "boot_id",
        "cancel_requested",
        "claim_token",
        "crashes",
        "failures",
        "finished_at",
        "id",
        "inserted_at",
        "key",
        "lease_until",
        "line",
        "name",
        "payload",
        "priority",
        "progress",
        "queue",
        "reason",
        "result",
        "run_at",
        "started_at",
        "state",
        "timeout_ms",
        "vtime",
    )

    def __init__(self, new: NewJob, state: int, run_at: int, inserted_at: int) -> None:
        self.id, self.name, self.queue, self.payload, self.priority, _, self.timeout_ms = new
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
        self.line: Line | None = None  # where it waits
        self.key = 0  # its place there

    def __lt__(self, other: Record) -> bool:
        # A heap may hold a dead entry and a live one of the same job and key; their order does not matter.
        return False

    def revived(self, now: int) -> Record:
        """The same job as a new record, from the start and available at `now`."""
        new = NewJob(self.id, self.name, self.queue, self.payload, self.priority, None, self.timeout_ms)
        record = Record(new, AVAILABLE, now, self.inserted_at)
        record.claim_token = self.claim_token
        record.failures = self.failures
        return record

    def as_job(self) -> Job:
        return Job(
            id=self.id,
            name=self.name,
            queue=self.queue,
            state=STATES[self.state],
            priority=self.priority,
            vtime=self.vtime,
            run_at=self.run_at,
            inserted_at=self.inserted_at,
            attempt=self.attempt,
            claim_token=self.claim_token,
            crashes=self.crashes,
            payload=self.payload,
            timeout_ms=self.timeout_ms,
            boot_id=self.boot_id,
            lease_until=self.lease_until if self.state == EXECUTING else None,
            started_at=self.started_at,
            finished_at=self.finished_at,
            cancel_requested=self.cancel_requested,
            result=self.result,
            reason=self.reason,
            progress=self.progress,
        )


Late = tuple[int, bytes, Record]


class Line:
    """Records in the order (key, id). What arrives in order waits in a deque; what comes later than its place, beside
    it in a heap: work handed back or rescued, a clock set back, ids of several producers within one millisecond.

    A record waits in one line at most (`Record.line`). Taking it out of the middle leaves a dead entry behind; those
    are passed over, and swept out before they outnumber the living. A record that was taken out never comes back to
    the same line, or the dead entry would mean it again: `revive` makes a new one.
    """

    __slots__ = ("_dead", "_last_id", "_last_key", "_late", "_ordered")

    def __init__(self) -> None:
        self._ordered: deque[Record] = deque()
        self._last_key = 0  # of the deque's end; kept apart, since the record there may be dead and elsewhere by now
        self._last_id = b""
        self._late: list[Late] = []
        self._dead = 0

    def __len__(self) -> int:
        return self.held() - self._dead

    def held(self) -> int:
        """Entries kept, the dead ones too."""
        return len(self._ordered) + len(self._late)

    def push(self, key: int, record: Record) -> None:
        record.line = self
        record.key = key
        job_id = record.id
        if self._ordered and (key < self._last_key or (key == self._last_key and job_id < self._last_id)):
            heappush(self._late, (key, job_id, record))
            return
        self._last_key = key
        self._last_id = job_id
        self._ordered.append(record)

    def pop(self) -> Record | None:
        """The first record, out of the line; None when nobody waits."""
        record = self._first()
        if record is None:
            return None
        if self._late and self._late[0][2] is record:
            heappop(self._late)
        else:
            self._ordered.popleft()
        record.line = None
        return record

    def first_key(self) -> int | None:
        """The key of the first record, or None when nobody waits."""
        record = self._first()
        return None if record is None else record.key

    def discard(self, record: Record) -> None:
        """Take a record that waits here out of the line, wherever it stands."""
        record.line = None
        self._dead += 1
        held = self.held()
        if held <= 64 or self._dead * 2 > held:
            self._sweep()

    def _first(self) -> Record | None:
        """The first record, left where it is; dead entries before it are dropped."""
        ordered, late = self._ordered, self._late
        while ordered and ordered[0].line is not self:
            ordered.popleft()
            self._dead -= 1
        while late and late[0][2].line is not self:
            heappop(late)
            self._dead -= 1
        if late and not (ordered and (ordered[0].key, ordered[0].id) < late[0][:2]):
            return late[0][2]
        return ordered[0] if ordered else None

    def _sweep(self) -> None:
        self._ordered = deque(record for record in self._ordered if record.line is self)
        self._late = [entry for entry in self._late if entry[2].line is self]
        heapify(self._late)
        self._dead = 0
