"""The bounded queue before an actor: a deque and one bare future, one consumer.

Invariants. Senders wait for room only while the queue is full: whoever makes room lets the first of them in at once, so
a later sender never overtakes. A message is taken out by its consumer *after* the wake-up, never handed to a waiting
future, so a consumer that is cancelled while it waits loses nothing. A mailbox outlives the incarnations of its actor;
once closed it never opens again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from .envelope import Ask, Envelope, Failure
from .errors import ActorStopped, AskCycle, MailboxFull
from .scene import caller
from .system import System
from .transport.port import Inbox


class Mailbox(Inbox):
    """Holds at most `capacity` messages which were sent; timers and what is put back need no room."""

    __slots__ = (
        "_limit",
        "_now",
        "_system",
        "capacity",
        "closed",
        "crashed",
        "handled",
        "path",
        "queue",
        "reason",
        "skipped",
        "waiting",
        "waker",
    )

    def __init__(self, path: str, capacity: int, system: System) -> None:
        self.path = path
        self.capacity = capacity
        self.queue: deque[Envelope] = deque()
        self.waiting: deque[_Sender] | None = None  # senders without room; made when first needed
        self.waker: asyncio.Future[None] | None = None  # set while the consumer waits
        self.closed = False
        self.reason = ""
        self.handled = 0
        self.crashed = 0
        self.skipped = 0  # asks nobody waited for any more
        self._limit = capacity  # 0 once closed, so that senders need one comparison only
        self._now = system.now
        self._system = system

    # What senders use.

    def offer(self, message: object) -> bool:
        queue = self.queue
        if len(queue) >= self._limit:
            return False
        queue.append((message, self._now(), None))
        if self.waker is not None:
            self.wake()
        return True

    async def tell(self, message: object, timeout_s: float | None) -> None:
        now = self._now()
        if not self._take((message, now, None)):
            await self._room((message, now, None), inf if timeout_s is None else now + timeout_s)

    async def ask(self, message: object, timeout_s: float | None) -> object:
        now = self._now()
        chain = self._chain()
        future = self._system.loop.create_future()
        ask = Ask(self.path, future, chain, timeout_s or 0.0, inf if timeout_s is None else now + timeout_s)
        if not self._take((message, now, ask)):
            try:
                await self._room((message, now, ask), ask.deadline)
            except BaseException:
                future.cancel()  # let in at the same moment perhaps: it must not be handled
                raise
        deadlines = self._system.deadlines
        if timeout_s is not None:
            deadlines.add(ask)
        try:
            answer = await future
        finally:
            deadlines.waiting.pop(ask, None)
        if answer.__class__ is Failure:
            assert isinstance(answer, Failure)
            raise answer.error
        return answer

    def try_hand_in(self, message: object, slot: Ask) -> bool:
        """Take a message whose answer goes to a slot of the caller's own, if there is room now."""
        return self._take((message, self._now(), slot))

    def hand_in_many(self, envelopes: list[Envelope]) -> int:
        """Take as many as there is room for now, the first ones; how many."""
        taken = min(self._limit - len(self.queue), len(envelopes))
        if taken <= 0:
            return 0
        self.queue.extend(envelopes if taken == len(envelopes) else envelopes[:taken])
        if self.waker is not None:
            self.wake()
        return taken

    async def hand_in(self, message: object, slot: Ask) -> None:
        """The same as soon as there is room. Raises `ActorStopped`."""
        envelope = (message, self._now(), slot)
        if not self._take(envelope):
            await self._room(envelope, inf)

    def _take(self, envelope: Envelope) -> bool:
        if len(self.queue) >= self._limit:
            return False
        self.queue.append(envelope)
        if self.waker is not None:
            self.wake()
        return True

    async def _room(self, envelope: Envelope, deadline: float) -> None:
        if self.closed:
            raise ActorStopped(self.path, self.reason)
        asking = caller()
        if asking is not None and asking.path == self.path:
            raise MailboxFull(self.path, self.capacity)  # only the actor itself could make the room it would wait for
        sender = _Sender(self, envelope, self._system.loop.create_future(), deadline)
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(sender)
        deadlines = self._system.deadlines
        if deadline != inf:
            deadlines.add(sender)
        try:
            refused = await sender.future
        finally:
            deadlines.waiting.pop(sender, None)
        if refused is not None:
            raise refused

    def _chain(self) -> tuple[str, ...]:
        asking = caller()
        if asking is None:
            return ()
        chain = asking.chain()
        if self.path in chain:
            raise AskCycle((*chain, self.path))
        return chain

    # What the consumer and its supervisor use.

    def wake(self) -> None:
        """Let the consumer look again."""
        waker, self.waker = self.waker, None
        if waker is not None and not waker.done():
            waker.set_result(None)

    def arrival(self) -> asyncio.Future[None]:
        """To be awaited by the consumer, alone: done when something came, here or on the consumer's lane."""
        self.waker = self._system.loop.create_future()
        return self.waker

    def admit(self) -> None:
        """Let senders in while there is room, in the order in which they came."""
        waiting = self.waiting
        while waiting and len(self.queue) < self._limit:
            sender = waiting.popleft()
            if not sender.future.done():
                self.queue.append(sender.envelope)
                sender.future.set_result(None)

    def push(self, message: object) -> None:
        """Take a message that needs no room."""
        if self.closed:
            self._system.letters.add(self.path, message, self.reason)
            return
        self.queue.append((message, self._system.now(), None))
        self.wake()

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Put messages before all others, the first of them first; they need no room."""
        self.queue.extendleft(reversed(envelopes))
        self.wake()

    def age_s(self) -> float:
        """For how many seconds the oldest message has been waiting."""
        return max(self._system.now() - self.queue[0][1], 0.0) if self.queue else 0.0

    def close(self, reason: str) -> None:
        """Refuse everything from now on, also what waits: asks fail with `ActorStopped`, tells are dead letters."""
        if self.closed:
            return
        self.closed = True
        self.reason = reason
        self._limit = 0
        for message, _, ask in self.queue:
            if ask is None:
                self._system.letters.add(self.path, message, reason)
            else:
                ask.answer(Failure(ActorStopped(self.path, reason)))
        self.queue.clear()
        for sender in self.waiting or ():
            sender.refuse(ActorStopped(self.path, reason))
        self.waiting = None


class _Sender:
    """One who waits for room."""

    __slots__ = ("_mailbox", "deadline", "envelope", "future")

    def __init__(
        self, mailbox: Mailbox, envelope: Envelope, future: asyncio.Future[Exception | None], deadline: float
    ) -> None:
        self._mailbox = mailbox
        self.envelope = envelope
        self.future = future
        self.deadline = deadline

    def expire(self) -> None:
        self.refuse(MailboxFull(self._mailbox.path, self._mailbox.capacity))

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_result(error)
