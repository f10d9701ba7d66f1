"""The way of messages from other nodes to one actor here: into its mailbox at once, or in order once there is room.

A lane has a task only while something waits in it. What a mailbox gives back, since its actor was stopped before it
began with it, goes before what came later: to the actor that is there next at the same path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..clock import Clock
from ..envelope import Envelope
from ..errors import ActorStopped, AskCycle
from ..mailbox import Mailbox
from .link_delivery import Delivery
from .port import Inbox

LOOK_S = 0.05  # between looks at an actor that takes nothing because its node stops it


class Lane:
    """One path's below an endpoint; `abandon` is told of messages for an actor that is not there."""

    __slots__ = ("_abandon", "_back", "_clock", "_inbox_of", "_mailbox", "_path", "_queue", "_task")

    def __init__(
        self, path: str, inbox_of: Callable[[str], Inbox], clock: Clock, abandon: Callable[[Delivery], None]
    ) -> None:
        self._path = path
        self._inbox_of = inbox_of
        self._clock = clock
        self._abandon = abandon
        self._queue: deque[Delivery] = deque()
        self._back: list[Delivery] = []
        self._mailbox: Mailbox | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def capacity(self) -> int | None:
        """Of the actor's mailbox; None while there is no actor."""
        mailbox = self._open()
        return None if mailbox is None else mailbox.capacity

    def push(self, slot: Delivery) -> None:
        """Hand it in, after those before it."""
        if self._task is None:
            mailbox = self._mailbox
            if mailbox is None or mailbox.closed:
                mailbox = self._open()
            if mailbox is not None and self._try(mailbox, slot):
                return
            self._start()
        self._queue.append(slot)

    def push_many(self, envelopes: list[Envelope]) -> None:
        """Hand in tells, after those before them."""
        taken = 0
        if self._task is None:
            mailbox = self._mailbox
            if mailbox is None or mailbox.closed:
                mailbox = self._open()
            if mailbox is not None:
                taken = mailbox.hand_in_many(envelopes)
            if taken == len(envelopes):
                return
            self._start()
        for _, _, slot in envelopes[taken:]:
            assert isinstance(slot, Delivery)
            self._queue.append(slot)

    def returned(self, slot: Delivery) -> None:
        """It was handed in, and its actor was stopped before it began with it."""
        self._back.append(slot)
        if self._task is None:
            self._start()

    def close(self) -> asyncio.Task[None] | None:
        """Hand in nothing more; what waits is dropped. The task to be awaited, if there is one."""
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _open(self) -> Mailbox | None:
        found = self._inbox_of(self._path)
        self._mailbox = found if isinstance(found, Mailbox) and not found.closed else None
        return self._mailbox

    def _try(self, mailbox: Mailbox, slot: Delivery) -> bool:
        if slot.chain and mailbox.path in slot.chain:
            slot.refuse(AskCycle((*slot.chain, mailbox.path)))
            return True
        return mailbox.try_hand_in(slot.message, slot)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._pump(), name="callboard-link-lane")

    async def _pump(self) -> None:
        queue, back = self._queue, self._back
        try:
            while queue or back:
                if back:
                    queue.extendleft(reversed(back))
                    back.clear()
                mailbox = self._open()
                if mailbox is not None:
                    slot = queue.popleft()
                    try:
                        if not self._try(mailbox, slot):
                            await mailbox.hand_in(slot.message, slot)
                    except ActorStopped:
                        back.append(slot)
                elif self._path:
                    self._abandon(queue.popleft())
                else:
                    # The endpoint's own actor is being stopped: its node gives it up, and the next one gets these.
                    await self._clock.sleep(LOOK_S)
        finally:
            self._task = None
