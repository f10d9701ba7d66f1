"""What waits to go to one endpoint: bounded, in order, many messages in one entry of its stream.

One entry is under way at a time, and is appended again until the server has said that it is there: a repetition is
known by the number of its first message (`lua/append.lua`). When too many entries wait in the stream, because their
receiver is slow or not there, the server takes no more; then the outbox fills, and who sends waits for room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ..envelope import Ask, Failure
from ..errors import ActorStopped, MailboxFull, describe
from .link_frames import Frame, pack_frames
from .link_line import BROKEN, Script

if TYPE_CHECKING:
    from ..deadlines import Deadlines
    from .link_line import Line

CAPACITY = 1024  # messages that may wait here
MOST_WAITING_BYTES = 8 * 1024 * 1024  # that may wait here, but for one message that is larger
MOST_FRAMES = 256  # of one entry
MOST_BYTES = 512 * 1024  # of one entry, but for one message that is larger
MOST_ENTRIES = 64  # that may wait in the stream of an endpoint
FIRST_PAUSE_S = 0.002  # when the stream is full
LONGEST_PAUSE_S = 0.1
LONGEST_S = 86_400.0  # that an ask without a deadline is said to have left
_APPEND = Script("append")


class RemoteAsk(Ask):
    """An ask to an actor on another node."""

    __slots__ = ("body", "number")

    body: bytes
    number: int


Item = Frame | tuple[str, RemoteAsk]  # what waits: a tell's or an answer's frame, or the way to an actor and the ask


class Outbox:
    """One endpoint's, or the answers' to one node (`lifetime_ms`: such a stream goes when nothing comes any more)."""

    def __init__(self, line: Line, kind: str, name: str, deadlines: Deadlines, *, lifetime_ms: int = 0) -> None:
        self._line = line
        self._keys = [line.key(kind, name), line.key(f"{kind}-numbers", name)]
        self._deadlines = deadlines
        self._lifetime_ms = lifetime_ms
        self._most_entries = 1_000_000 if lifetime_ms else MOST_ENTRIES
        self._queue: deque[Item] = deque()
        self._waiting: deque[_Sender] = deque()
        self._bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self.is_closed = False

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        """Whether something waits, or is under way to the server."""
        return self._flushing is not None

    def put(self, item: Item, *, needs_room: bool = True) -> bool:
        """Take a tell's or an answer's frame, or an ask with its path, if there is room now."""
        if self.is_closed or (needs_room and (self._waiting or not self._has_room())):
            return False
        self._add(item)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush(), name="callboard-link-flush")
        return True

    async def room(self, item: Item, path: str, deadline: float) -> None:
        """Take it as soon as there is room, in the order of the senders. Raises `MailboxFull`, `ActorStopped`."""
        if self.is_closed:
            raise ActorStopped(path, "the link is closed")
        sender = _Sender(item, path, asyncio.get_running_loop().create_future(), deadline)
        self._waiting.append(sender)
        self._deadlines.add(sender)
        try:
            refused = await sender.future
        finally:
            self._deadlines.waiting.pop(sender, None)
        if refused is not None:
            raise refused

    async def close(self, within_s: float) -> None:
        """Send what waits, for at most so long; then it is lost, and who waits is refused."""
        self.is_closed = True
        for sender in self._waiting:
            sender.refuse(ActorStopped(sender.path, "the link is closed"))
        if self._flushing is not None:
            _, left = await asyncio.wait([self._flushing], timeout=within_s)
            for task in left:
                task.cancel()
                await asyncio.wait([task])

    async def _flush(self) -> None:
        try:
            while self._queue:
                items, asks = self._next_entry()
                self._admit()
                if not items:
                    continue
                try:
                    await self._append(items, asks)
                except Exception as error:  # ours: what was in that entry is lost, and nothing behind it
                    self._line.report(f"{len(items)} messages could not be sent and were dropped", error)
                    for ask in asks:
                        ask.answer(Failure(ActorStopped(ask.path, f"it could not be sent: {describe(error)}")))
        finally:
            self._flushing = None

    def _has_room(self) -> bool:
        return len(self._queue) < CAPACITY and self._bytes < MOST_WAITING_BYTES

    def _add(self, item: Item) -> None:
        self._queue.append(item)
        self._bytes += _size(item)

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            sender = self._waiting.popleft()
            if not sender.future.done():
                self._add(sender.item)
                sender.future.set_result(None)

    def _next_entry(self) -> tuple[list[Item], list[RemoteAsk]]:
        queue = self._queue
        items: list[Item] = []
        asks: list[RemoteAsk] = []
        size = 0
        while queue and len(items) < MOST_FRAMES and size < MOST_BYTES:
            item = queue.popleft()
            self._bytes -= (bytes_of_it := _size(item))
            ask = item[1]
            if ask.__class__ is RemoteAsk:
                if ask.future.done():
                    continue  # nobody waits for it any more
                asks.append(ask)
            items.append(item)
            size += bytes_of_it
        return items, asks

    def _frames(self, items: list[Item]) -> list[Frame]:
        """As they go now: an ask tells how much time it has left."""
        now = self._line.clock.monotonic()
        frames: list[Frame] = []
        for item in items:
            ask = item[1]
            if ask.__class__ is RemoteAsk:
                left_ms = int(min(max(ask.deadline - now, 0.0), LONGEST_S) * 1000)
                frames.append((item[0], ask.body, ask.number, left_ms, ask.chain))
            else:
                frames.append(item)
        return frames

    async def _append(self, items: list[Item], asks: list[RemoteAsk]) -> None:
        line, node = self._line, self._line.node
        count, packed = len(items), b""
        first = line.next_numbers(count)
        failures, pause_s = 0, FIRST_PAUSE_S
        is_there_perhaps = False
        while True:
            if asks or not packed:
                packed = pack_frames(self._frames(items))
            for ask in asks:
                ask.begun = True
            try:
                taken = await line.run(
                    _APPEND, self._keys, node, first, count, packed, self._most_entries, self._lifetime_ms
                )
            except BROKEN:
                is_there_perhaps = True
                await line.clock.sleep(line.pause_s(failures))
                failures += 1
                continue
            if taken:
                return
            failures = 0
            if not is_there_perhaps:
                for ask in asks:
                    ask.begun = False  # the server has said so
            await line.clock.sleep(pause_s * line.rng.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _size(item: Item) -> int:
    body: Any = item[1]
    if body.__class__ is RemoteAsk:
        body = body.body
    return len(body) if body.__class__ is bytes else 64


class _Sender:
    """One who waits for room."""

    __slots__ = ("deadline", "future", "item", "path")

    def __init__(
        self,
        item: Item,
        path: str,
        future: asyncio.Future[Exception | None],
        deadline: float,
    ) -> None:
        self.item = item
        self.path = path
        self.future = future
        self.deadline = deadline

    def expire(self) -> None:
        self.refuse(MailboxFull(self.path, CAPACITY))

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_result(error)
