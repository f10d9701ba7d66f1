"""The worker of one queue: runs up to `slots` attempts at once, each in a task of its own, and closes them in batches.

It may hold leased jobs beyond its slots, at most as many as it finished in the last 50 ms: with trivial handlers the
store's round trip would else be the pace. They are heart-beaten like the rest and handed back first when it drains.

A job's way comes from `actors/dispatcher.py` (Assign) and goes on in `actors/execution.py`, then in
`actors/closing.py`, which writes the outcomes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.exits import Crashed
from ..storage.ids import format_id
from ..storage.job import Claimed
from ..storage.messages import Committed, HandBackJobs
from ..storage.records import HandBack, Wakeup
from .attempt import Attempt, Stop
from .closing import Closing
from .execution import execute, judge_stop
from .node import NodeParts
from .outcome import EndedInTransaction, Failed, HandedBack, Outcome
from .prefetch import Prefetch
from .processes import Processes

SWEEP_S = 0.05  # deadlines are looked at that often
STUBBORN_S = 1.0  # an attempt that was cancelled and goes on that long is abandoned


@dataclass(frozen=True, slots=True)
class Assign:
    """Jobs leased for this worker, in the order to start them."""

    jobs: list[Claimed]


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the dispatcher how much room there is."""


@dataclass(frozen=True, slots=True)
class Vacancy:
    """Room for `room` more jobs, seen when `assigned` had been handed over in all."""

    room: int
    assigned: int


@dataclass(frozen=True, slots=True)
class StopAttempts:
    """Stop these jobs' attempts, where they are here."""

    job_ids: list[bytes]
    why: Stop


@dataclass(frozen=True, slots=True)
class Drain:
    """Take nothing more, hand back what has not started, and set `done` once the last attempt is closed."""

    done: asyncio.Event


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The grace is over: cancel what still runs and hand it back."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look at deadlines."""


class Worker(Actor):
    """Runs the attempts of one queue."""

    max_batch = 256

    def __init__(self, queue: str, *, slots: int, node: NodeParts) -> None:
        self._queue = queue
        self.processes = Processes()
        self._slots = slots
        self._node = node
        self._waiting: deque[Claimed] = deque()
        self._running: dict[bytes, Attempt] = {}
        self._set_aside: set[Attempt] = set()  # abandoned, still running: their slots are not used again
        self._assigned = 0
        self._drained: asyncio.Event | None = None
        self._is_sweeping = False

    async def started(self) -> None:
        self._clock = self.context.clock
        self._prefetch = Prefetch(self._clock)
        self._dispatcher = self.context.ref(f"queues/{self._queue}/dispatcher")
        self._closing = Closing(self._node, self.context.ref(self._node.lanes.ends), self._closed)
        self._loop = asyncio.get_running_loop()
        self._node.running[self._queue] = self._running
        self._offer()

    async def stopping(self, exit: object) -> None:
        """Whatever still runs here is interrupted; a drained worker has nothing left."""
        self._drained = self._drained or asyncio.Event()
        self._hand_back_waiting()
        self._interrupt()
        limit = self._clock.monotonic() + STUBBORN_S
        while self._running and self._clock.monotonic() < limit:
            await self._clock.sleep(SWEEP_S)
        for attempt in list(self._running.values()):
            self._abandon(attempt)
        await self._closing.flushed()
        try:
            await self._hand_back_unseen()
        finally:
            await self.processes.close()
        if isinstance(exit, Crashed):
            self._node.log.warning("worker crashed, its jobs were handed back", queue=self._queue)

    async def receive_batch(self, messages: Sequence[Any]) -> list[Any]:
        for message in messages:
            match message:
                case Assign(jobs=jobs):
                    self._assign(jobs)
                case Report():
                    self._offer()
                case StopAttempts(job_ids=job_ids, why=why):
                    self._stop_jobs(job_ids, why)
                case Sweep():
                    self._sweep()
                case Drain(done=done):
                    self._drain(done)
                case Interrupt():
                    self._interrupt()
        return [None] * len(messages)

    def _assign(self, jobs: list[Claimed]) -> None:
        self._assigned += len(jobs)
        holds = self._node.in_flight.holds
        self._waiting.extend([job for job in jobs if holds(job.id, job.claim_token)])
        if self._drained is not None:
            self._hand_back_waiting()
        else:
            self._start()
        self._offer()

    def _start(self) -> None:
        """Start waiting jobs while there are slots."""
        slots = self._slots - len(self._set_aside)
        waiting, running, node, create_task = self._waiting, self._running, self._node, self._loop.create_task
        now = self._clock.monotonic()
        if now > node.trust.own_until:
            self._drop_untrusted(now)
        held_up: list[Claimed] = []
        while waiting and len(running) < slots:
            job = waiting.popleft()
            if job.id in running:
                self._stop_older(running[job.id])
                held_up.append(job)
                continue
            running[job.id] = attempt = Attempt(job, now, False)
            attempt.task = create_task(execute(attempt, node, self), context=Context())
        waiting.extendleft(reversed(held_up))

    def _drop_untrusted(self, now: float) -> None:
        """Begin nothing whose lease may be over: a node that was frozen ends its attempts before it looks at leases."""
        untrusted = set(self._node.in_flight.older_than(self._node.trust.own_since(now)))
        dropped = [job.id for job in self._waiting if job.id in untrusted]
        if dropped:
            self._node.log.error("leases could not be renewed in time; their jobs do not begin", jobs=len(dropped))
            self._stop_jobs(dropped, Stop.LEASE_LOST)

    def _stop_older(self, attempt: Attempt) -> None:
        """Its job was claimed anew, so its lease was lost, which nobody here may have heard of; the new one waits."""
        if attempt.stop is not Stop.LEASE_LOST:
            self._stop(attempt, Stop.LEASE_LOST)

    def timed(self) -> None:
        """An attempt has a deadline: see that somebody looks at it."""
        if not self._is_sweeping:
            self._is_sweeping = True
            self.context.send_after(SWEEP_S, Sweep())

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """An attempt's task ends; called in that task. `outcome` None: the lease is gone, nothing is written."""
        if attempt.is_over:
            self.freed(attempt)
            return
        attempt.is_over = True
        del self._running[attempt.job.id]
        if attempt.thread_runs:
            self._set_aside.add(attempt)
        self._close(attempt.job, outcome)
        if self._waiting:
            self._start()

    def thread_ended(self, attempt: Attempt) -> None:
        """The thread of an attempt has ended, abandoned or not."""
        attempt.thread_runs = False
        self.freed(attempt)

    def freed(self, attempt: Attempt) -> None:
        """What an abandoned attempt still ran has ended after all: its slot is used again."""
        if attempt in self._set_aside and not attempt.thread_runs:
            self._set_aside.discard(attempt)
            self._start()
            self._offer()

    def _close(self, job: Claimed, outcome: Outcome | None) -> None:
        if outcome is None:
            self._node.in_flight.lost_leases += 1
            self._node.in_flight.release(job.id, job.claim_token)
            self._closed(1)
        elif type(outcome) is EndedInTransaction:
            self._node.in_flight.release(job.id, job.claim_token)
            self._node.finished += 1
            self.context.ref("wakeups").try_tell(Committed({Wakeup("finished", job.queue)}))
            self._closed(1)
        else:
            if type(outcome) is Failed:
                self._say_failed(job, outcome)
            self._closing.add(job, outcome)

    def _say_failed(self, job: Claimed, outcome: Failed) -> None:
        self._node.log.warning(
            "job failed for good",
            job=job.name,
            job_id=format_id(job.id),
            attempt=job.attempt,
            reason=outcome.reason,
            error=outcome.error.kind,
        )

    def _closed(self, jobs: int) -> None:
        """That many attempts are written, or need not be."""
        self._prefetch.finished(jobs)
        self._offer()

    def _offer(self) -> None:
        """Tell the dispatcher of room, in portions worth a claim; the last one out of a draining worker says so."""
        held = len(self._running) + len(self._waiting) + len(self._closing)
        if self._drained is not None:
            if held == 0:
                self._drained.set()
            return
        ahead = self._prefetch.allowance()
        room = self._slots - len(self._set_aside) + ahead - held
        if room >= max(1, ahead // 2):
            self._dispatcher.try_tell(Vacancy(room, self._assigned))

    def _stop_jobs(self, job_ids: list[bytes], why: Stop) -> None:
        for job_id in job_ids:
            attempt = self._running.get(job_id)
            if attempt is not None:
                self._stop(attempt, why)
                continue
            job = next((job for job in self._waiting if job.id == job_id), None)
            if job is not None:
                self._waiting.remove(job)
                unstarted = Attempt(job, self._clock.monotonic(), False)
                unstarted.stop = why
                self._close(job, judge_stop(unstarted, self._node))

    def _stop(self, attempt: Attempt, why: Stop) -> None:
        if attempt.stop is not None and why is not Stop.LEASE_LOST:
            return
        attempt.stop = why
        attempt.stopped_at = self._clock.monotonic()
        self.timed()
        if attempt.has_begun and not (attempt.is_in_thread and why is Stop.CANCEL):
            assert attempt.task is not None
            attempt.task.cancel()

    def _sweep(self) -> None:
        self._is_sweeping = False
        now = self._clock.monotonic()
        for attempt in list(self._running.values()):
            if attempt.stop is None:
                if attempt.deadline is not None and attempt.deadline <= now:
                    self._stop(attempt, Stop.TIMEOUT)
            elif attempt.stopped_at + STUBBORN_S <= now and not (attempt.is_in_thread and attempt.stop is Stop.CANCEL):
                self._abandon(attempt)
        if self._waiting:
            self._start()  # what was held up by an attempt that is abandoned now
        if any(a.deadline is not None or a.stop is not None for a in self._running.values()):
            self.timed()

    def _abandon(self, attempt: Attempt) -> None:
        """Judge an attempt that does not heed its cancellation, and set its slot aside until it really ends."""
        attempt.is_over = True
        del self._running[attempt.job.id]
        self._set_aside.add(attempt)
        self._node.log.error(
            "attempt goes on after it was cancelled; its slot is set aside",
            job=attempt.job.name,
            job_id=format_id(attempt.job.id),
            queue=self._queue,
            why=attempt.stop.value if attempt.stop else None,
        )
        self._close(attempt.job, judge_stop(attempt, self._node))

    def _drain(self, done: asyncio.Event) -> None:
        self._drained = done
        self._hand_back_waiting()
        for attempt in self._running.values():
            attempt.is_shutting_down = True
        self._offer()

    def _interrupt(self) -> None:
        for attempt in list(self._running.values()):
            self._stop(attempt, Stop.INTERRUPT)

    async def _hand_back_unseen(self) -> None:
        """Jobs that were on their way to this worker when it ended: renewed by the heartbeat, known to nobody else."""
        unseen = [HandBack(job_id, token, self._queue) for job_id, token in self._node.in_flight.of_queue(self._queue)]
        if unseen:
            for job in unseen:
                self._node.in_flight.release(job.id, job.claim_token)
            await self.context.ref(self._node.lanes.ends).ask(HandBackJobs(unseen), timeout=self._node.lease_s)

    def _hand_back_waiting(self) -> None:
        while self._waiting:
            self._closing.add(self._waiting.popleft(), HandedBack())
