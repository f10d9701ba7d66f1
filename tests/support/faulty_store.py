"""A store whose calls fail as a network lets them fail: before they took effect, or after, the reply lost.

Wraps any store. What fails is for a plan to say: one call counted from the first (`NthCall`), one of a
method (`NthCallOf`), or a seeded share of all
(`SomeCalls`). Listening, opening and closing never fail.
"""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from builtins import list as list_of
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import ParamSpec, Protocol, TypeVar

from callboard.storage.control import Control, ControlAnswer
from callboard.storage.errors import Unavailable
from callboard.storage.job import Job, JobState, NewJob
from callboard.storage.ports.controls import ControlStore
from callboard.storage.ports.jobs import HeartbeatStore, JobStore
from callboard.storage.ports.nodes import NodeStore
from callboard.storage.ports.queues import QueueStore
from callboard.storage.ports.roles import RoleStore
from callboard.storage.ports.store import Store
from callboard.storage.ports.wakeups import WakeupStore
from callboard.storage.records import (
    Beat,
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    Failure,
    Finding,
    Finish,
    HandBack,
    HeartbeatReply,
    Hint,
    JobFilter,
    Node,
    QueueRow,
    Rescued,
    Retry,
    Snooze,
    Wakeup,
)
from callboard.storage.role import RoleRow, Term

P = ParamSpec("P")
T = TypeVar("T")


class When(Enum):
    """At which moment a call fails."""

    BEFORE = "before"  # nothing happened
    AFTER = "after"  # executed, the reply lost


class FaultPlan(Protocol):
    """Which calls fail. Asked from several threads."""

    @abstractmethod
    def next_call(self, method: str) -> When | None:
        """Whether the call that starts now fails, and when; `method` is "jobs.claim" and the like."""


class NthCall(FaultPlan):
    """The n-th call fails, once; `failed` names it. None of them when `n` is 0."""

    def __init__(self, n: int, when: When) -> None:
        self.failed: str | None = None
        self._left = n
        self._when = when
        self._lock = threading.Lock()

    def next_call(self, method: str) -> When | None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return None
            self.failed = method
            return self._when


class NthCallOf(FaultPlan):
    """The n-th call of one method fails once it is armed; `seen` counts the calls of every method since then."""

    def __init__(self, method: str, n: int, when: When) -> None:
        self.method = method
        self.n = n
        self.seen: Counter[str] = Counter()
        self.is_armed = False
        self._when = when
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"{self.method}, call {self.n}, failed {self._when.value} it took effect"

    @property
    def has_failed(self) -> bool:
        return self.seen[self.method] >= self.n > 0

    def arm(self) -> None:
        """From now on calls count."""
        self.is_armed = True

    def next_call(self, method: str) -> When | None:
        with self._lock:
            if not self.is_armed:
                return None
            self.seen[method] += 1
            return self._when if method == self.method and self.seen[method] == self.n else None


class SomeCalls(FaultPlan):
    """Each call fails with probability `rate`, before or after. `heal` ends it."""

    def __init__(self, chance: random.Random, rate: float) -> None:
        self.failed = 0
        self._chance = chance
        self._rate = rate
        self._lock = threading.Lock()

    def next_call(self, method: str) -> When | None:
        with self._lock:
            if self._chance.random() >= self._rate:
                return None
            self.failed += 1
            return self._chance.choice([When.BEFORE, When.AFTER])

    def heal(self) -> None:
        """From now on nothing fails."""
        with self._lock:
            self._rate = 0.0


class FaultyStore(Store):
    """`inner`, with the faults of `plan`."""

    def __init__(self, inner: Store, plan: FaultPlan) -> None:
        self.inner = inner
        self.is_durable = inner.is_durable
        self.is_shared = inner.is_shared
        self.transactions = inner.transactions
        self.is_embedded = inner.is_embedded
        self.commits_together = inner.commits_together
        self.wall_ms = inner.wall_ms
        self._faults = _Faults(plan)
        self.jobs = _FaultyJobs(inner.jobs, self._faults)
        self.queues = _FaultyQueues(inner.queues, self._faults)
        self.nodes = _FaultyNodes(inner.nodes, self._faults)
        self.roles = _FaultyRoles(inner.roles, self._faults)
        self.controls = _FaultyControls(inner.controls, self._faults)
        self.wakeups = _FaultyWakeups(inner.wakeups, self._faults)

    async def open(self, *, migrate: bool = True) -> None:
        await self.inner.open(migrate=migrate)

    async def close(self) -> None:
        await self.inner.close()

    def heartbeats(self) -> HeartbeatStore:
        return _FaultyHeartbeat(self.inner.heartbeats(), self._faults)

    async def examine(self) -> Sequence[Finding]:
        return await self._faults.call("examine", self.inner.examine)


class _Faults:
    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    async def call(self, method: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        when = self._plan.next_call(method)
        if when is When.BEFORE:
            raise Unavailable(f"{method}: injected, nothing was done")
        reply = await function(*args, **kwargs)
        if when is When.AFTER:
            raise Unavailable(f"{method}: injected, done and the reply lost")
        return reply


class _FaultyJobs(JobStore):
    def __init__(self, inner: JobStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def insert(
        self, jobs: Sequence[NewJob], *, fence: Term | None = None, hint: Hint | None = None
    ) -> list[bool]:
        return await self._call("jobs.insert", self._inner.insert, jobs, fence=fence, hint=hint)

    async def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        return await self._call("jobs.claim", self._inner.claim, requests, boot_id=boot_id, lease_ms=lease_ms)

    async def finish(self, ends: Sequence[Finish], *, boot_id: bytes) -> list[bool]:
        return await self._call("jobs.finish", self._inner.finish, ends, boot_id=boot_id)

    async def retry(self, retries: Sequence[Retry], *, boot_id: bytes) -> list[bool]:
        return await self._call("jobs.retry", self._inner.retry, retries, boot_id=boot_id)

    async def snooze(self, snoozes: Sequence[Snooze], *, boot_id: bytes) -> list[bool]:
        return await self._call("jobs.snooze", self._inner.snooze, snoozes, boot_id=boot_id)

    async def hand_back(self, jobs: Sequence[HandBack], *, boot_id: bytes) -> list[bool]:
        return await self._call("jobs.hand_back", self._inner.hand_back, jobs, boot_id=boot_id)

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        return await self._call("jobs.rescue", self._inner.rescue, limit=limit, max_crashes=max_crashes)

    async def cancel(self, job_ids: Sequence[bytes], *, reason: str) -> list[CancelAnswer]:
        return await self._call("jobs.cancel", self._inner.cancel, job_ids, reason=reason)

    async def revive(self, job_ids: Sequence[bytes]) -> list[bool]:
        return await self._call("jobs.revive", self._inner.revive, job_ids)

    async def delete(self, job_ids: Sequence[bytes]) -> list[bool]:
        return await self._call("jobs.delete", self._inner.delete, job_ids)

    async def prune(self, *, finished_before: int, limit: int, fence: Term | None = None) -> int:
        return await self._call(
            "jobs.prune", self._inner.prune, finished_before=finished_before, limit=limit, fence=fence
        )

    async def get(self, job_ids: Sequence[bytes]) -> list[Job | None]:
        return await self._call("jobs.get", self._inner.get, job_ids)

    async def select(self, wanted: JobFilter, *, limit: int, before: bytes | None = None) -> list[Job]:
        return await self._call("jobs.select", self._inner.select, wanted, limit=limit, before=before)

    async def failures(self, job_id: bytes) -> list[Failure]:
        return await self._call("jobs.failures", self._inner.failures, job_id)

    async def count(self, wanted: JobFilter) -> int:
        return await self._call("jobs.count", self._inner.count, wanted)


class _FaultyHeartbeat(HeartbeatStore):
    def __init__(self, inner: HeartbeatStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def open(self) -> None:
        await self._inner.open()

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        return await self._call(
            "heartbeat", self._inner.heartbeat, beats, boot_id=boot_id, lease_ms=lease_ms, report=report
        )

    async def close(self) -> None:
        await self._inner.close()


class _FaultyQueues(QueueStore):
    def __init__(self, inner: QueueStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def counts(self, queue: str | None = None) -> Mapping[JobState, int]:
        return await self._call("queues.counts", self._inner.counts, queue)

    async def list(self) -> Sequence[QueueRow]:
        return await self._call("queues.list", self._inner.list)

    async def pause(self, queues: Sequence[str]) -> None:
        await self._call("queues.pause", self._inner.pause, queues)

    async def resume(self, queues: Sequence[str]) -> None:
        await self._call("queues.resume", self._inner.resume, queues)


class _FaultyNodes(NodeStore):
    def __init__(self, inner: NodeStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def register(self, node: Node) -> None:
        await self._call("nodes.register", self._inner.register, node)

    async def list(self) -> Sequence[Node]:
        return await self._call("nodes.list", self._inner.list)

    async def forget(self, boot_ids: Sequence[bytes], *, fence: Term | None = None) -> None:
        await self._call("nodes.forget", self._inner.forget, boot_ids, fence=fence)


class _FaultyRoles(RoleStore):
    def __init__(self, inner: RoleStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        return await self._call("roles.campaign", self._inner.campaign, roles, holder=holder, lease_ms=lease_ms)

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        return await self._call("roles.renew", self._inner.renew, terms, lease_ms=lease_ms)

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        return await self._call("roles.resign", self._inner.resign, terms)

    async def list(self) -> Sequence[RoleRow]:
        return await self._call("roles.list", self._inner.list)


class _FaultyControls(ControlStore):
    def __init__(self, inner: ControlStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call

    async def send(self, controls: Sequence[Control]) -> None:
        await self._call("controls.send", self._inner.send, controls)

    async def take(self, boot_id: bytes, *, limit: int) -> Sequence[Control]:
        return await self._call("controls.take", self._inner.take, boot_id, limit=limit)

    async def answer(self, answers: Sequence[ControlAnswer]) -> None:
        await self._call("controls.answer", self._inner.answer, answers)

    async def answers(self, ids: Sequence[bytes]) -> Sequence[ControlAnswer | None]:
        return await self._call("controls.answers", self._inner.answers, ids)

    async def prune(self, *, asked_before: int) -> int:
        return await self._call("controls.prune", self._inner.prune, asked_before=asked_before)


class _FaultyWakeups(WakeupStore):
    """A hint that is lost is lost without an error."""

    def __init__(self, inner: WakeupStore, faults: _Faults) -> None:
        self._inner = inner
        self._call = faults.call
        self.joins_inserts = inner.joins_inserts

    async def listen(self, on_wakeups: Callable[[Collection[Wakeup]], None]) -> None:
        await self._inner.listen(on_wakeups)

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        try:
            await self._call("wakeups.announce", self._inner.announce, wakeups)
        except Unavailable:
            return

    def take_along(self, wakeups: Collection[Wakeup]) -> Hint | None:
        return self._inner.take_along(wakeups)

    async def close(self) -> None:
        await self._inner.close()
