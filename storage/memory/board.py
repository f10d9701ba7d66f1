"""What all handles of one memory store share. Whoever reads or writes it holds `lock`.

The lock is there for the heartbeat, which runs on a thread of its own; nothing waits while holding it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection

from ..control import Control, ControlAnswer
from ..errors import TermOver
from ..records import Node, Wakeup
from ..role import RoleRow, Term
from .record import AVAILABLE, EXECUTING, STATES, Line, Record

PRIORITIES = 4


class Queue:
    """A queue's lines and counters."""

    __slots__ = ("counts", "due", "is_paused", "name", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_paused = False
        self.counts = [0] * len(STATES)  # by state code
        self.ready = tuple(Line() for _ in range(PRIORITIES))  # by vtime
        self.due = Line()  # by run_at: scheduled and retryable

    def promote(self, now: int, limit: int) -> None:
        """Make what is due available, earliest first, at most `limit` jobs."""
        due = self.due
        while limit > 0:
            run_at = due.first_key()
            if run_at is None or run_at > now:
                return
            record = due.pop()
            assert record is not None
            self.counts[record.state] -= 1
            record.vtime = record.run_at
            self.add(record, AVAILABLE)
            limit -= 1

    def add(self, record: Record, state: int) -> None:
        """Let a record wait here: `state` is available, scheduled or retryable."""
        record.state = state
        self.counts[state] += 1
        if state == AVAILABLE:
            self.ready[record.priority].push(record.vtime, record)
        else:
            self.due.push(record.run_at, record)


class Role:
    """A role that was granted at least once."""

    __slots__ = ("holder", "lease_until", "name", "number")

    def __init__(self, name: str) -> None:
        self.name = name
        self.holder = b""
        self.number = 0
        self.lease_until = 0  # lease milliseconds

    def row(self, now: int) -> RoleRow:
        """How it stands."""
        left_ms = self.lease_until - now
        if left_ms <= 0:
            return RoleRow(self.name, None, self.number, 0)
        return RoleRow(self.name, self.holder, self.number, left_ms)


class Board:
    """Jobs, queues, nodes, roles and control messages."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records: dict[bytes, Record] = {}
        self.is_by_id = True  # `records` was filled in the order of ids, so its end holds the greatest
        self.last_id = b""
        self.running: dict[bytes, Record] = {}
        self.done = Line()  # terminal jobs, by finished_at
        self.queues: dict[str, Queue] = {}
        self.nodes: dict[bytes, Node] = {}
        self.roles: dict[str, Role] = {}
        self.controls: dict[bytes, tuple[Control, ControlAnswer | None]] = {}
        self.listeners: dict[Callable[[Collection[Wakeup]], None], asyncio.AbstractEventLoop] = {}

    def queue(self, name: str) -> Queue:
        """The queue of that name, made when it is not there yet."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name)
        return queue

    def leased(self, job_id: bytes, claim_token: int, boot_id: bytes) -> Record | None:
        """The record of a job that executes under exactly this claim: the fence of all writes for it."""
        record = self.running.get(job_id)
        if record is None or record.claim_token != claim_token or record.boot_id != boot_id:
            return None
        return record

    def stands(self, job_id: bytes, claim_token: int, boot_id: bytes, states: Collection[int]) -> bool:
        """Whether a fenced write that was refused had been written before by the same claim."""
        record = self.records.get(job_id)
        return (
            record is not None
            and record.claim_token == claim_token
            and record.boot_id == boot_id
            and record.state in states
        )

    def release(self, record: Record) -> Queue:
        """Take a lease off; the caller says at once where the job goes."""
        del self.running[record.id]
        record.cancel_requested = False
        queue = self.queues[record.queue]
        queue.counts[EXECUTING] -= 1
        return queue

    def end(self, queue: Queue, record: Record, state: int, now: int) -> None:
        """Make a job terminal that waits in no line and executes no more."""
        record.state = state
        record.finished_at = now
        queue.counts[state] += 1
        self.done.push(now, record)

    def take_out(self, record: Record) -> Queue:
        """Take a job that waits or has ended out of its line and its counter."""
        if record.line is not None:
            record.line.discard(record)
        queue = self.queues[record.queue]
        queue.counts[record.state] -= 1
        return queue

    def campaign(self, name: str, holder: bytes, now: int, lease_ms: int) -> RoleRow:
        """Let `holder` have the role in its next term, unless somebody has it; how it stands then."""
        role = self.roles.get(name)
        if role is None:
            role = self.roles[name] = Role(name)
        if role.lease_until <= now:
            role.holder, role.number, role.lease_until = holder, role.number + 1, now + lease_ms
        return role.row(now)

    def runs(self, term: Term, now: int) -> bool:
        """Whether that very term runs."""
        role = self.roles.get(term.role)
        return role is not None and role.row(now).term == term

    def check(self, fence: Term | None, now: int) -> None:
        """Raises `TermOver` for a term that does not run."""
        if fence is not None and not self.runs(fence, now):
            raise TermOver(fence)
