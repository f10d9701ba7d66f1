"""One endpoint as the node that serves it has it: reads its stream, hands messages in, tells what was handled.

What holds:
- Messages of one sender are handed in in the order of their numbers, each once; a number that was seen before, here or
  by an earlier holder, is passed over. A message that was not handled when its holder ended comes to the next one.
- A message is handled when its actor's handler has returned, or crashed. Only then is it told to the server, with the
  number up to which all of its sender were handled, in the script that removes the entry (`lua/handled.lua`).
- The server takes that from the latest incarnation alone. A holder that hears of a later one stops reading.
- No more is read than may be in hand at once, and a mailbox without room holds up the reading: so the stream fills, and
  with it the senders.

Each incarnation reads as a group of its own, which begins with all entries that are there: what was given to an earlier
holder and not removed comes again, in order, before what is new. After a break of the connection the same holds of what
was given to this one; entries that are in hand are known by their ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis import exceptions as e

from ..codec import Undecodable
from ..envelope import Failure
from ..errors import ActorStopped, IncarnationOver
from ..mailbox import Mailbox
from .link_delivery import Delivery, Entry, Receiver, Sender
from .link_frames import is_message, unpack_frames
from .link_line import ANSWER_S, BLOCK_S, BROKEN, Script, run
from .message_codec import unpack_message
from .port import Inbox

if TYPE_CHECKING:
    from .link_line import Line
    from .redis_connection import RedisConnection

MOST_IN_HAND = 2048  # messages that were read and not handled yet
FORGET_S = 7 * 86_400  # after which a silent sender's numbers may be dropped
ROOM_S = 0.05  # between looks at an actor that takes nothing because its node stops it
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
    ) -> None:
        self.endpoint = endpoint
        self.incarnation = incarnation
        self.duplicates = 0  # messages that came again and were handled before
        self.late = 0  # asks whose deadline had passed when they came
        self._line = line
        self._inbox_of = inbox_of
        self._respond = respond
        self._set_aside = set_aside
        kinds = ("in", "holder", "handled", "in-numbers")
        self._keys = [line.key(kind, endpoint) for kind in kinds]
        self._stream = self._keys[0]
        self._group = f"incarnation {incarnation}"
        self._senders: dict[bytes, Sender] = {}
        self._entries: dict[bytes, Entry] = {}  # in hand, by id
        self._in_hand = 0
        self._room = asyncio.Event()
        self._removable: list[bytes] = []
        self._progress: dict[bytes, int] = {}
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
        """Read no more, and tell what was handled so far."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def _become_holder(self, connection: RedisConnection) -> None:
        try:
            flat = await run(connection, _SERVE, self._keys, self.incarnation, self._group, FORGET_S)
        except e.ResponseError as error:
            if "FENCED" in str(error):
                raise IncarnationOver(self.endpoint, self.incarnation) from None
            raise
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            sender = self._senders.setdefault(name, Sender())
            sender.seen = max(sender.seen, int(value.partition(b":")[0]))

    async def _read(self, connection: RedisConnection) -> None:
        failures = 0
        while True:
            try:
                if connection.is_broken:
                    connection = await self._line.connect(timeout_s=BLOCK_S + ANSWER_S)
                    await self._become_holder(connection)
                await self._read_again(connection)
                failures = 0
                while True:
                    await self._some_room()
                    found = await connection.call(
                        *("XREADGROUP", "GROUP", self._group, self._line.node, "COUNT", self._credit()),
                        *("BLOCK", int(BLOCK_S * 1000), "STREAMS", self._stream, ">"),
                    )
                    for entry_id, fields in found[0][1] if found else ():
                        await self._enter(entry_id, fields)
            except IncarnationOver:
                await connection.close()
                return
            except BROKEN:
                await connection.close()
                await self._line.clock.sleep(self._line.pause_s(failures))
                failures += 1
            except asyncio.CancelledError:
                await connection.close()
                raise

    async def _read_again(self, connection: RedisConnection) -> None:
        """What was given to this holder before the connection broke, oldest first."""
        last = b"0"
        while True:
            found = await connection.call(
                *("XREADGROUP", "GROUP", self._group, self._line.node, "COUNT", 8, "STREAMS", self._stream, last)
            )
            entries = found[0][1] if found else ()
            if not entries:
                return
            for entry_id, fields in entries:
                if fields is not None:  # it was removed meanwhile
                    await self._enter(entry_id, fields)
            last = entries[-1][0]

    def _credit(self) -> int:
        """How many entries there is room for."""
        return max((MOST_IN_HAND - self._in_hand) // 256, 1)

    async def _some_room(self) -> None:
        while self._in_hand >= MOST_IN_HAND:
            self._room.clear()
            await self._room.wait()

    async def _enter(self, entry_id: bytes, fields: list[bytes]) -> None:
        if entry_id in self._entries:
            return
        try:
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            sender_name, first, payload = named[b"s"], int(named[b"n"]), named[b"m"]
        except (ValueError, KeyError):
            self._set_entry_aside(entry_id, repr(fields).encode(), "its fields are not those of a link's entry")
            return
        try:
            frames = unpack_frames(payload)
        except Undecodable as error:
            self._set_entry_aside(entry_id, payload, str(error))
            return
        sender = self._senders.setdefault(sender_name, Sender())
        entry = self._entries[entry_id] = Entry(entry_id, sender_name, sender)
        age_ms = self._line.age_ms(entry_id)
        entry.left = len(frames) + 1  # the one is taken off when all were handed in
        for number, frame in enumerate(frames, first):
            if number <= sender.seen:
                self.duplicates += 1
                entry.left -= 1
                continue
            sender.seen = number
            await self._hand_in(Delivery(self, entry, number), frame, age_ms)
        entry.left -= 1
        if entry.left == 0:
            self._remove(entry)

    def _set_entry_aside(self, entry_id: bytes, content: bytes, why: str) -> None:
        self._set_aside(self.endpoint, content, why)
        self._removable.append(entry_id)
        self._tell_soon()

    async def _hand_in(self, slot: Delivery, frame: list[Any], age_ms: float) -> None:
        self._in_hand += 1
        slot.entry.sender.in_hand.append(slot)
        if not is_message(frame):
            self._set_aside(self.endpoint, repr(frame).encode(), "it is no message of a link")
            slot.is_handled()
            return
        path, body = frame[0], frame[1]
        slot.path = f"{self.endpoint}/{path}" if path else self.endpoint
        if len(frame) == 5:
            left_s = (frame[3] - max(age_ms, 0.0)) / 1000
            slot.asked, slot.chain = frame[2], tuple(frame[4])
            slot.deadline = self._line.clock.monotonic() + left_s
            if left_s <= 0:
                self.late += 1
                slot.is_handled()
                return
        try:
            message = unpack_message(body)
        except Undecodable as error:
            self._set_aside(slot.path, body, str(error))
            slot.begun = True
            slot.answer(Failure(error))
            return
        while True:
            inbox = self._inbox_of(path)
            if isinstance(inbox, Mailbox):
                try:
                    if not inbox.try_hand_in(message, slot):
                        await inbox.hand_in(message, slot)
                    return
                except ActorStopped:
                    pass
            elif path:
                self._set_aside(slot.path, body, "no such actor there")
                slot.begun = True  # nobody else has it either
                slot.answer(Failure(ActorStopped(slot.path, "no such actor (or it was removed)")))
                return
            # The actor itself is being stopped: its node gives it up, and the next one gets the message.
            await self._line.clock.sleep(ROOM_S)

    def handled(self, slot: Delivery) -> None:
        """A message is done with."""
        self._in_hand -= 1
        if self._in_hand == MOST_IN_HAND - 1:
            self._room.set()
        entry = slot.entry
        in_hand = entry.sender.in_hand
        if in_hand[0] is slot:
            number = 0
            while in_hand and in_hand[0].is_done:
                number = in_hand.popleft().number
            self._progress[entry.sender_name] = number
        entry.left -= 1
        if entry.left == 0:
            self._remove(entry)
        elif self._telling is None:
            self._tell_soon()

    def respond(self, slot: Delivery, answer: object) -> None:
        """Send an answer back."""
        self._respond(slot, answer)

    def _remove(self, entry: Entry) -> None:
        self._entries.pop(entry.id, None)
        self._removable.append(entry.id)
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="callboard-link-handled")

    async def _tell(self) -> None:
        """Tell the server what was handled, until there is nothing more to tell."""
        failures = 0
        try:
            while self._removable or self._progress:
                ids, self._removable = self._removable, []
                progress, self._progress = self._progress, {}
                numbers = [word for pair in progress.items() for word in pair]
                try:
                    await self._line.run(
                        _HANDLED, self._keys[:3], self.incarnation, self._group, len(progress), *numbers, *ids
                    )
                    failures = 0
                except e.ResponseError as error:
                    if "FENCED" not in str(error):
                        raise
                    self._removable.clear()
                    self._progress.clear()
                    if self._reading is not None:
                        self._reading.cancel()
                    return
                except BROKEN:
                    self._removable = ids + self._removable
                    self._progress = progress | self._progress
                    await self._line.clock.sleep(self._line.pause_s(failures))
                    failures += 1
                    if self._reading is not None and self._reading.done():
                        return  # nobody serves any more: what was not told comes again to the next one
        finally:
            self._telling = None
