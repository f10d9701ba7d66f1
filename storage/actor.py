"""The storage actor: every write of a node passes here, and many callers share one commit.

Group commit without timers. The kernel hands this actor all messages that wait; it gives the store every one of them
at once, grouped by verb, and awaits the commit. While that commit runs, the next batch gathers in the mailbox. So one
caller alone waits for one commit, and a thousand callers share one. Answers leave when the batch returns: a caller who
was answered has its write on disk. Of a store that takes claims, ends and the rest side by side
(`Store.commits_together` is False) a node has an actor for each, so that none waits for the others' commits.

When something fails:
- The store does not answer (`Unavailable`): the actor repeats the call, 50 ms to 2 s apart, until it is answered.
  Every write is idempotent, so a call that took effect before its answer was lost does no harm. That is a state
  (`StoreHealth.unavailable_since`), never a crash; askers wait until their own deadline, or until whoever asks stops
  (`Ending`). A rescue alone is not repeated: the first to be heard after an outage, it would take the jobs of all who
  could not renew (`Rescuer`).
- One verb fails (`Full`, say): the asks of that verb fail with the error, the others are answered as usual.
- Anything else is our fault: the actor crashes, the supervisor starts it anew on the same store, askers ask again.

A job's way goes on: the commit is told to `actors/wakeups.py`, which wakes `actors/dispatcher.py`, which asks for
`ClaimJobs` here again. The first insert after a silence tells other processes itself where the store can do that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from ..kernel.actor import Actor
from ..kernel.clock import Clock
from ..kernel.envelope import Failure
from ..kernel.ref import Ref
from . import messages as m
from .errors import StorageError, Unavailable
from .hints import hints_of, only_of_inserts, work_of
from .ports.store import Store
from .records import ClaimRequest, Hint
from .revival import Revival

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
LAST_S = 1.0  # a call is repeated, when whoever asks stops
LEAST_S = 0.1  # such a call may take, when that is over


class Ending:
    """Whether those who ask are stopping: from `at` (monotonic seconds) on a store that is away is not waited for."""

    def __init__(self) -> None:
        self.at: float | None = None
        self.has_begun = asyncio.Event()

    def begin(self, now: float) -> None:
        """They stop now."""
        self.at = now
        self.has_begun.set()

    def is_over(self) -> None:
        """They have stopped; others may begin."""
        self.at = None
        self.has_begun.clear()


class StoreHealth:
    """Whether the store answers; written by the storage actor, read by whoever wants to know."""

    def __init__(self) -> None:
        self.unavailable_since: float | None = None  # monotonic seconds
        self.last_error: str | None = None
        self.work_ends = Ending()  # of claims, ends, leases; what others ask of the same store goes on
        self.all_ends = Ending()


class StorageActor(Actor):
    """Commits for all of a node. The store is opened before it starts and closed after it has stopped.

    Understands the messages of `storage/messages.py`; tells the actor at path `commits` a `Committed` after each commit
    that matters to others.
    """

    max_batch = 4096

    def __init__(self, store: Store, *, boot_id: bytes, health: StoreHealth, rng: random.Random, commits: str) -> None:
        self._store = store
        self._boot_id = boot_id
        self._health = health
        self._rng = rng
        self._commits_path = commits
        self._hint: Hint | None = None  # goes with the inserts of the batch that is being committed

    async def started(self) -> None:
        self._clock: Clock = self.context.clock
        self._commits: Ref = self.context.ref(self._commits_path)

    async def receive_batch(self, messages: Sequence[Any]) -> list[Any]:
        inserted = work_of(messages) if self._store.wakeups.joins_inserts else None
        self._hint = self._store.wakeups.take_along(inserted) if inserted else None
        if len(messages) == 1:
            answers = [await self._commit_one(messages[0])]
        else:
            answers = await self._commit_all(messages)
        told = hints_of(messages, answers)
        if told:
            is_carried = self._hint is not None and not self._hint.is_lost
            self._commits.try_tell(m.Committed(told, only_of_inserts(messages, answers) if is_carried else set()))
        return answers

    async def _commit_one(self, message: Any) -> Any:
        try:
            items = getattr(message, "items", ())
            return await self._patiently(type(message), self._caller(type(message), message, items))
        except StorageError as error:
            return Failure(error)

    async def _commit_all(self, messages: Sequence[Any]) -> list[Any]:
        """One call for all messages of a batched verb, one for each other message, all in flight together."""
        groups: list[list[int]] = []
        of_verb: dict[type, list[int]] = {}
        for index, message in enumerate(messages):
            verb = type(message)
            if verb in _BATCHED and getattr(message, "fence", None) is None:
                group = of_verb.get(verb)
                if group is not None:
                    group.append(index)
                    continue
                group = of_verb[verb] = [index]
            else:
                group = [index]
            groups.append(group)
        answers: list[Any] = [None] * len(messages)
        if len(groups) == 1:
            await self._commit_group(groups[0], messages, answers)
        else:
            await asyncio.gather(*(self._commit_group(group, messages, answers) for group in groups))
        return answers

    async def _commit_group(self, group: list[int], messages: Sequence[Any], answers: list[Any]) -> None:
        first = messages[group[0]]
        if len(group) == 1:
            answers[group[0]] = await self._commit_one(first)
            return
        items = [item for index in group for item in messages[index].items]
        try:
            replies = await self._patiently(type(first), self._caller(type(first), first, items))
        except StorageError as error:
            for index in group:
                answers[index] = Failure(error)
            return
        at = 0
        for index in group:
            end = at + len(messages[index].items)
            answers[index] = replies[at:end]
            at = end

    def _caller(self, verb: type, message: Any, items: Sequence[Any]) -> Callable[[], Awaitable[Any]]:
        """A call that may be made again."""
        if verb is m.ReviveJobs:
            return Revival(self._store.jobs, items).again
        return lambda: self._call(verb, message, items)

    def _call(self, verb: type, message: Any, items: Sequence[Any]) -> Awaitable[Any]:
        """The port method that a message means; the verbs of the hot path first."""
        jobs = self._store.jobs
        if verb is m.InsertJobs:
            return jobs.insert(items, fence=message.fence, hint=self._hint)
        if verb is m.FinishJobs:
            return jobs.finish(items, boot_id=self._boot_id)
        if verb is m.ClaimJobs:
            return self._claim(items, message.lease_ms)
        if verb is m.RetryJobs:
            return jobs.retry(items, boot_id=self._boot_id)
        if verb is m.SnoozeJobs:
            return jobs.snooze(items, boot_id=self._boot_id)
        if verb is m.HandBackJobs:
            return jobs.hand_back(items, boot_id=self._boot_id)
        if verb is m.RescueJobs:
            return jobs.rescue(limit=message.limit, max_crashes=message.max_crashes)
        if verb is m.CancelJobs:
            return jobs.cancel(items, reason=message.reason)
        if verb is m.DeleteJobs:
            return jobs.delete(items)
        if verb is m.PruneJobs:
            return jobs.prune(finished_before=message.finished_before, limit=message.limit, fence=message.fence)
        if verb is m.PauseQueues:
            return self._store.queues.pause(message.queues)
        if verb is m.ResumeQueues:
            return self._store.queues.resume(message.queues)
        if verb is m.RegisterNode:
            return self._store.nodes.register(message.node)
        if verb is m.ForgetNodes:
            return self._store.nodes.forget(message.boot_ids, fence=message.fence)
        if verb is m.SendControls:
            return self._store.controls.send(message.controls)
        if verb is m.AnswerControls:
            return self._store.controls.answer(message.answers)
        raise TypeError(f"the storage actor does not understand {verb.__name__}")

    async def _claim(self, requests: Sequence[ClaimRequest], lease_ms: int) -> list[m.Leased]:
        since = self._clock.monotonic()
        replies = await self._store.jobs.claim(requests, boot_id=self._boot_id, lease_ms=lease_ms)
        return [m.Leased(reply, since) for reply in replies]

    async def _patiently(self, verb: type, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's answer, repeated while the store does not answer at all."""
        health = self._health
        ending = health.work_ends if verb in _OF_WORK else health.all_ends
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = await (call() if health.unavailable_since is None else self._while_wanted(call, ending))
            except Unavailable as error:
                if health.unavailable_since is None:
                    health.unavailable_since = self._clock.monotonic()
                health.last_error = str(error)
                left_s = self._left_s(ending)
                if verb in _ONCE or left_s <= 0:
                    raise
                await self._pause(min(pause_s * self._rng.uniform(0.5, 1.0), left_s), ending)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                health.unavailable_since = None
                return answer

    def _left_s(self, ending: Ending) -> float:
        """For how long a call to a store that is away is repeated: for ever, unless whoever asks is stopping."""
        if ending.at is None:
            return inf
        return max(ending.at, self._health.unavailable_since or 0.0) + LAST_S - self._clock.monotonic()

    async def _pause(self, pause_s: float, ending: Ending) -> None:
        """Wait that long, or until the ending begins."""
        if ending.at is not None:
            await self._clock.sleep(pause_s)
            return
        with suppress(TimeoutError):
            await self._clock.limit(ending.has_begun.wait(), pause_s)

    async def _while_wanted(self, call: Callable[[], Awaitable[Any]], ending: Ending) -> Any:
        """The call's answer, for which whoever stops does not wait long: the store was away when it was last asked."""
        answer = asyncio.ensure_future(call())
        stop = asyncio.ensure_future(ending.has_begun.wait())
        try:
            await asyncio.wait([answer, stop], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                with suppress(TimeoutError):
                    await self._clock.limit(asyncio.wait([answer]), max(self._left_s(ending), LEAST_S))
            if answer.done():
                return answer.result()
            raise Unavailable(str(self._health.last_error))
        finally:
            answer.cancel()
            stop.cancel()


_ONCE = frozenset({m.RescueJobs})
_OF_WORK = frozenset(
    {
        m.ClaimJobs,
        m.FinishJobs,
        m.RetryJobs,
        m.SnoozeJobs,
        m.HandBackJobs,
        m.RescueJobs,
        m.RegisterNode,
        m.ForgetNodes,
        m.AnswerControls,
    }
)
_BATCHED = frozenset(
    {m.InsertJobs, m.ClaimJobs, m.FinishJobs, m.RetryJobs, m.SnoozeJobs, m.HandBackJobs, m.ReviveJobs, m.DeleteJobs}
)
