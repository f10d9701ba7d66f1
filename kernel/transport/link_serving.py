"""One endpoint as the node that serves it has it: reads its stream, hands messages in, tells what was handled.

What holds:
- Messages of one sender are taken in in the order of their numbers, each once; a number that was seen before, here or
  by an earlier holder, is passed over. A message that was not handled when its holder ended comes to the next one.
- A message is handled when its actor's handler has returned, or crashed. Only then is it told to the server, with the
  number up to which all of its sender were handled, in the script that removes the entry (`lua/handled.lua`).
- The server takes that from the latest incarnation alone. With each read it also says which one that is, after what it
  read: nothing is handed in that was read when there was a later one.
- No more is read than there is room for, by the largest of the endpoint's mailboxes (but for the rest of an entry): so
  the stream fills, and with it the senders.

The stream holds what was not handled, and nothing else, and one node reads it. So there is no consumer group, which
would give entries to a holder that is over, and keep them there: after a break, and at the beginning, all is read from
the start, and what is in hand here is known by its ids. A reply that was lost is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis import exceptions as e

from ..codec import Undecodable
from ..envelope import Envelope
from ..errors import ActorStopped, IncarnationOver
from .link_delivery import Delivery, Entry, Receiver, Sender
from .link_frames import here_and_elsewhere, is_message, unpack_frames
from .link_lane import Lane
from .link_line import ANSWER_S, BLOCK_S, BROKEN, Script, run
from .message_codec import unpack_message
from .port import Inbox

if TYPE_CHECKING:
    from .link_line import Line
    from .redis_connection import RedisConnection

DEFAULT_ROOM = 1024  # messages in hand, while no mailbox is known
MOST_ENTRIES = 64  # of one read
FORGET_S = 7 * 86_400  # after which a silent sender's numbers may be dropped
TELL_AFTER_S = 0.002  # that what was handled may wait to be told with more
_SERVE = Script("serve")
_HANDLED = Script("handled")
_Respond = Callable[[Delivery, object], None]
_SetAside = Callable[[str, bytes, str], None]


class Serving(Receiver):
    """Made for one incarnation; `begin` and `end` once each."""

    def __init__(
        self,
        line: Line,
        endpoint: str,
        inbox_of: Callable[[str], Inbox],
        incarnation: int,
        *,
        respond: _Respond,
        set_aside: _SetAside,
        overtaken: Callable[[], object] | None,
    ) -> None:
        self.endpoint = endpoint
        self.incarnation = incarnation
        self.duplicates = 0  # messages that came again and were taken in before
        self.late = 0  # asks whose deadline had passed when they came
        self._line = line
        self._inbox_of = inbox_of
        self._respond = respond
        self._set_aside = set_aside
        self._overtaken = overtaken
        self._stream, self._holder, self._handled, self._numbers = (
            line.key(kind, endpoint) for kind in ("in", "holder", "handled", "in-numbers")
        )
        self._senders: dict[bytes, Sender] = {}
        self._entries: dict[bytes, Entry] = {}  # read, and not yet removed, by id
        self._lanes: dict[str, Lane] = {}
        self._in_hand = 0
        self._capacity = 0  # of the largest mailbox
        self._per_entry = 256.0  # messages, on average
        self._room: asyncio.Event = asyncio.Event()
        self._is_over = False  # it ended, or a later incarnation serves
        self._removable: list[bytes] = []
        self._active: dict[bytes, Sender] = {}  # senders that may have progress to tell
        self._is_full = False  # the reader waits for room
        self._now = line.clock.monotonic_reader()
        self._telling: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Become the holder. Raises `IncarnationOver`, and what the line raises."""
        connection = await self._line.connect(timeout_s=BLOCK_S + ANSWER_S)
        try:
            await self._become_holder(connection)
        except BaseException:
            await connection.close()
            raise
        reading = self._read(connection)
        self._reading = asyncio.get_running_loop().create_task(reading, name=f"callboard-link {self.endpoint}")

    async def end(self) -> None:
        """Read no more, and tell what was handled so far; what is handled later is told then."""
        self._is_over = True
        tasks = [self._reading, *(lane.close() for lane in self._lanes.values()), self._telling]
        if self._reading is not None:
            self._reading.cancel()
        if found := [task for task in tasks if task is not None]:
            await asyncio.wait(found)

    async def _become_holder(self, connection: RedisConnection) -> None:
        keys = [self._holder, self._handled, self._numbers]
        try:
            flat = await run(connection, _SERVE, keys, self.incarnation, FORGET_S)
        except e.ResponseError as error:
            if "FENCED" in str(error):
                raise IncarnationOver(self.endpoint, self.incarnation) from None
            raise
        await self._line.look_at_time(connection)
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            if name not in self._senders:
                self._senders[name] = Sender(int(value.partition(b":")[0]))

    async def _read(self, connection: RedisConnection) -> None:
        failures = 0
        try:
            while True:
                try:
                    if connection.is_broken:
                        connection = await self._line.connect(timeout_s=BLOCK_S + ANSWER_S)
                        await self._become_holder(connection)
                    last = b"0-0"
                    while True:
                        last = await self._read_once(connection, last)
                        failures = 0
                except IncarnationOver:
                    self._is_over = True
                    for lane in self._lanes.values():
                        lane.close()
                    if self._overtaken is not None:
                        self._overtaken()
                    return
                except Exception as error:
                    if not isinstance(error, BROKEN):
                        self._line.report(f"reading for {self.endpoint!r} failed and is tried again", error)
                    connection.give_up(error)
                    await self._line.clock.sleep(self._line.pause_s(failures))
                    failures += 1
        finally:
            await connection.close()

    async def _read_once(self, connection: RedisConnection, last: bytes) -> bytes:
        """Take in what is after `last`; the id of the last that was read."""
        count = await self._credit()
        found, holder = await connection.calls(
            (
                ("XREAD", "COUNT", count, "BLOCK", int(BLOCK_S * 1000), "STREAMS", self._stream, last),
                ("GET", self._holder),
            )
        )
        for answer in (found, holder):
            if isinstance(answer, Exception):
                raise answer
        if holder != str(self.incarnation).encode():
            if holder is not None:
                raise IncarnationOver(self.endpoint, self.incarnation)
            await self._become_holder(connection)  # the server has lost it
        for entry_id, fields in found[0][1] if found else ():
            last = entry_id
            if entry_id not in self._entries:
                self._enter(entry_id, fields)
        return last

    async def _credit(self) -> int:
        """How many entries there is room for, as soon as there is."""
        if not self._capacity:
            self._capacity = self._lane("").capacity or 0
        most = self._capacity or DEFAULT_ROOM
        if self._in_hand >= most:
            self._room.clear()
            self._is_full = True
            await self._room.wait()
            self._is_full = False
        return min(max(int((most - self._in_hand) / self._per_entry), 1), MOST_ENTRIES)

    def _lane(self, path: str) -> Lane:
        lane = self._lanes.get(path)
        if lane is None:
            lane = self._lanes[path] = Lane(path, self._inbox_of, self._line.clock, self._abandon)
            self._capacity = max(self._capacity, lane.capacity or 0)
        return lane

    def _enter(self, entry_id: bytes, fields: list[bytes]) -> None:
        payload = None
        try:
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            sender_name, first, payload = named[b"s"], int(named[b"n"]), named[b"m"]
            frames = unpack_frames(payload)
        except (ValueError, KeyError, TypeError) as error:
            is_ours = isinstance(error, Undecodable) and payload is not None
            why = str(error) if is_ours else "its fields are not those of a link's entry"
            self._set_aside(self.endpoint, payload if is_ours and payload else repr(fields).encode(), why)
            self._entries[entry_id] = Entry(entry_id, b"", 0)
            self._remove(entry_id)
            return
        sender = self._senders.get(sender_name)
        if sender is None:
            sender = self._senders[sender_name] = Sender()
        entry = self._entries[entry_id] = Entry(entry_id, sender_name, first + len(frames) - 1)
        sender.entries.append(entry)
        self._active[sender_name] = sender
        self._per_entry += (len(frames) - self._per_entry) / 8
        entry.left = len(frames) + 1  # the one is taken off when all were taken in
        self._take_in(entry, sender.seen, first, frames)
        sender.seen = max(sender.seen, entry.last)
        entry.left -= 1
        if entry.left == 0:
            self._remove(entry_id)

    def _take_in(self, entry: Entry, seen: int, first: int, frames: list[list[Any]]) -> None:
        now = self._now()
        slots = entry.slots
        way, run = "", list[Envelope]()  # tells that go the same way are handed in at once
        for number, frame in enumerate(frames, first):
            if number <= seen:
                self.duplicates += 1
                entry.left -= 1
                continue
            self._in_hand += 1
            if not is_message(frame):
                slots.append(slot := Delivery(self, entry, number, "", b"", None))
                self._set_aside(self.endpoint, repr(frame).encode(), "it is no message of a link")
                slot.refuse(Undecodable("it is no message of a link"))
                continue
            path, body = frame[0], frame[1]
            slots.append(slot := Delivery(self, entry, number, path, body, None))
            is_ask = len(frame) == 5
            if is_ask and not self._is_awaited(slot, frame, now):
                slot.expire()
                continue
            try:
                message = slot.message = unpack_message(body)
            except Undecodable as error:
                self._set_aside(self._address(slot), body, str(error))
                slot.refuse(error)
                continue
            if run and (is_ask or path != way):
                self._lane(way).push_many(run)
                run = []
            if is_ask:
                self._lane(path).push(slot)
            else:
                way = path
                run.append((message, now, slot))
        if run:
            self._lane(way).push_many(run)

    def _is_awaited(self, slot: Delivery, frame: list[Any], now: float) -> bool:
        _, _, asked, left_ms, chain = frame
        left_s = (left_ms - max(self._line.age_ms(slot.entry.id), 0.0)) / 1000
        slot.asked, slot.deadline = asked, now + left_s
        if chain:
            slot.chain = here_and_elsewhere(chain, self._line.node)
        return bool(left_s > 0)

    def _address(self, slot: Delivery) -> str:
        return f"{self.endpoint}/{slot.way}" if slot.way else self.endpoint

    def _abandon(self, slot: Delivery) -> None:
        address = self._address(slot)
        self._set_aside(address, slot.body, "no such actor there")
        slot.refuse(ActorStopped(address, "no such actor (or it was removed)"))

    # What deliveries tell.

    def respond(self, slot: Delivery, answer: object) -> None:
        """Send an answer back."""
        self._respond(slot, answer)

    def returned(self, slot: Delivery) -> None:
        """Its actor was stopped before it began with it: the next one there has it, or the next holder."""
        if not self._is_over:
            self._lane(slot.way).returned(slot)

    def handled(self, slot: Delivery) -> None:
        """A message is done with."""
        self._in_hand -= 1
        entry = slot.entry
        entry.left -= 1
        if not entry.left:
            self._removable.append(entry.id)
        if self._telling is None:
            self._tell_soon()
        if self._is_full and self._in_hand <= self._capacity // 2:
            self._room.set()

    # What the server is told.

    def _remove(self, entry_id: bytes) -> None:
        self._removable.append(entry_id)
        if self._telling is None:
            self._tell_soon()

    def _tell_soon(self) -> None:
        self._telling = asyncio.get_running_loop().create_task(self._tell(), name="callboard-link-handled")

    async def _tell(self) -> None:
        """Tell the server what was handled, until there is nothing more to tell."""
        failures = 0
        keys = [self._stream, self._holder, self._handled]
        try:
            while True:
                if not self._is_over:
                    await self._line.clock.sleep(TELL_AFTER_S)
                ids, self._removable = self._removable, []
                try:
                    progress = self._progress()
                    if not ids and not progress:
                        return
                    numbers = [word for name, number in progress.items() for word in (name, number)]
                    await self._line.run(_HANDLED, keys, self.incarnation, len(progress), *numbers, *ids)
                except Exception as error:
                    if "FENCED" in str(error):
                        return  # the later incarnation has all that was not told
                    if not isinstance(error, BROKEN):
                        self._line.report(f"telling what was handled for {self.endpoint!r} failed", error)
                    self._removable = ids + self._removable
                    if self._is_over:
                        return  # likewise, when there is one
                    await self._line.clock.sleep(self._line.pause_s(failures))
                    failures += 1
                else:
                    failures = 0
                    for name, number in progress.items():
                        self._senders[name].told = number
                    for entry_id in ids:
                        del self._entries[entry_id]
        finally:
            self._telling = None

    def _progress(self) -> dict[bytes, int]:
        """Up to which number all of a sender's were handled, where that was not told yet."""
        found = {}
        for name, sender in list(self._active.items()):
            number = sender.progress()
            if number > sender.told:
                found[name] = number
            elif not sender.entries:
                del self._active[name]
        return found
