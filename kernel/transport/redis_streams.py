"""The link between nodes, over Redis Streams: the same `Ref`, wherever its actor lives.

An *endpoint* is a name: a singleton's, or a node's. What is sent to it goes into its stream, and is read by the one
node that serves it, in its latest incarnation; who that is, senders need not know. Messages wait in the stream while
nobody serves it. Answers go to a stream of the asking node, which needs no room to be granted.

    Ref -> FarInbox -> Outbox (bounded) -> stream -> Serving -> mailbox -> handler -> handled: the entry is removed
                                 asker <- stream of answers <- Outbox <- answer

What it promises. At least once: a message that was taken by the server is handled, if ever somebody serves its
endpoint, though senders, receivers and the server itself go down in between; that is as durable as the server (with an
append-only file: its own crash loses nothing that it had answered). Once, as long as its receiver lives: messages of
one sender have numbers, and a number that was handled is passed over, by later incarnations too. A receiver that is
killed between its effect and the word of it gets the message again: `Context.origin` is there to tell. In order, per
sender and endpoint. A slow receiver slows its senders, and nobody's memory grows.

When a part fails:
- The server is away: all is tried again, 50 ms to 2 s apart; asks wait until their deadline.
- The receiver ends: what it had read and not handled stands in the stream still, and the next incarnation reads it, in
  order, before what is new.
- A receiver that was taken for dead goes on: what it tells is refused (`lua/handled.lua`), what it reads it drops.
- The sender ends: what the server had not taken is lost with it.
- Somebody else's bytes lie in the stream: they are set aside, in a stream of at most 1,000 such letters, and counted.

Source: Redis documentation, "Redis Streams", XADD, XREAD and XDEL (6.2 or newer).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from math import inf
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

from ..clock import Clock
from ..codec import NotStorable, Undecodable
from ..deadlines import Deadlines
from ..envelope import Failure
from ..errors import ActorStopped, LinkUnavailable
from ..scene import caller
from .link_delivery import Delivery
from .link_frames import pack_answer, unpack_answer, unpack_frames, with_node
from .link_line import ANSWER_S, BLOCK_S, BROKEN, Line
from .link_outbox import Outbox, RemoteAsk
from .link_serving import Serving
from .message_codec import pack_message
from .port import Inbox, Link
from .redis_connection import RedisConnection, RedisTarget

ANSWERS_KEPT_MS = 600_000  # a stream of answers that nobody reads any more
DEAD_LETTERS = 1000
CLOSE_S = 2.0  # that what waits may take to be sent at the end


class RedisLink(Link):
    """One node's. Used on the event loop that opened it."""

    def __init__(self, url: str, *, namespace: str, node: str, clock: Clock, rng: random.Random) -> None:
        parts = urlsplit(url)
        target = RedisTarget(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            db=int(parts.path.strip("/") or 0),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            is_tls=parts.scheme == "rediss",
        )
        shown = f"{parts.scheme}://{target.host}:{target.port}/{target.db}"
        self._line = Line(target, shown, namespace=namespace, node=node, clock=clock, rng=rng)
        self._deadlines = Deadlines(clock)
        self._clock = clock
        # One that nobody holds and nothing waits in goes; made anew, it goes on with greater numbers (`next_numbers`).
        self._outboxes: WeakValueDictionary[str, Outbox] = WeakValueDictionary()
        self._answers: WeakValueDictionary[bytes, Outbox] = WeakValueDictionary()
        self._asks: dict[int, RemoteAsk] = {}
        self._number = 0
        self._serving: dict[str, Serving] = {}
        self._listening: asyncio.Task[None] | None = None
        self._side: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._duplicates = self._late = 0  # of what is served no more
        self.dead_letters = 0  # set aside by this node

    async def open(self) -> None:
        """Connect, and look at the server. Raises `LinkUnavailable` or `LinkRefused`."""
        try:
            await self._line.open()
        except BaseException:
            await self._line.close()
            raise
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        for endpoint in list(self._serving):
            await self.leave(endpoint)
        boxes = [*self._outboxes.values(), *self._answers.values()]
        await asyncio.gather(*(box.close(CLOSE_S) for box in boxes))
        for ask in self._asks.values():
            ask.answer(Failure(ActorStopped(ask.path, "the link is closed")))
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._side:
            await asyncio.wait(self._side, timeout=CLOSE_S)
        self._deadlines.close()
        await self._line.close()

    def inbox(self, endpoint: str, path: str = "") -> Inbox:
        return FarInbox(self, endpoint, path)

    async def serve(
        self,
        endpoint: str,
        inbox_of: Callable[[str], Inbox],
        *,
        incarnation: int,
        overtaken: Callable[[], object] | None = None,
    ) -> None:
        await self.leave(endpoint)
        serving = Serving(
            self._line,
            endpoint,
            inbox_of,
            incarnation,
            respond=self._respond,
            set_aside=self._set_aside,
            overtaken=overtaken,
        )
        try:
            await serving.begin()
        except BROKEN as error:
            raise LinkUnavailable(f"link {self._line.shown} does not answer: {error}") from error
        self._serving[endpoint] = serving

    async def leave(self, endpoint: str) -> None:
        serving = self._serving.pop(endpoint, None)
        if serving is not None:
            self._duplicates += serving.duplicates
            self._late += serving.late
            await serving.end()

    @property
    def counters(self) -> dict[str, int]:
        """What was set aside, came twice, or came too late, since it was opened."""
        return {
            "dead_letters": self.dead_letters,
            "duplicates": self._duplicates + sum(serving.duplicates for serving in self._serving.values()),
            "late": self._late + sum(serving.late for serving in self._serving.values()),
        }

    # For its inboxes.

    def outbox(self, endpoint: str) -> Outbox:
        """What goes to an endpoint."""
        box = self._outboxes.get(endpoint)
        if box is None:
            box = self._outboxes[endpoint] = Outbox(self._line, "in", endpoint, self._deadlines)
        return box

    async def ask(self, box: Outbox, path: str, address: str, body: bytes, timeout_s: float | None) -> object:
        """The answer of an actor elsewhere."""
        asking = caller()
        chain = () if asking is None else with_node(asking.chain(), self._line.node)
        if self._listening is None:
            loop = asyncio.get_running_loop()
            self._listening = loop.create_task(self._listen(), name="callboard-link-answers")
        deadline = inf if timeout_s is None else self._clock.monotonic() + timeout_s
        ask = RemoteAsk(address, asyncio.get_running_loop().create_future(), chain, timeout_s or 0.0, deadline)
        self._number += 1
        ask.number, ask.body = self._number, body
        self._asks[ask.number] = ask
        try:
            if not box.put((path, ask)):
                await box.room((path, ask), address, deadline)
            if timeout_s is not None:
                self._deadlines.add(ask)
            answer = await ask.future
        finally:
            ask.future.cancel()  # should it still wait to be sent, it need not be
            self._asks.pop(ask.number, None)
            self._deadlines.waiting.pop(ask, None)
        if answer.__class__ is Failure:
            assert isinstance(answer, Failure)
            raise answer.error
        return answer

    # Answers.

    def _respond(self, slot: Delivery, answer: object) -> None:
        asker = slot.entry.sender_name
        box = self._answers.get(asker)
        if box is None:
            name = asker.decode("utf-8", "replace")
            box = self._answers[asker] = Outbox(
                self._line, "answers", name, self._deadlines, lifetime_ms=ANSWERS_KEPT_MS
            )
        assert slot.asked is not None
        box.put(pack_answer(slot.asked, answer), needs_room=False)

    async def _listen(self) -> None:
        """Read the answers to this node, as long as it is open."""
        key, last, failures = self._line.key("answers", self._line.node), b"0-0", 0
        connection: RedisConnection | None = None
        try:
            while True:
                try:
                    if connection is None or connection.is_broken:
                        connection = await self._line.connect(timeout_s=BLOCK_S + ANSWER_S)
                    found = await connection.call(
                        "XREAD", "COUNT", 64, "BLOCK", int(BLOCK_S * 1000), "STREAMS", key, last
                    )
                    failures = 0
                    entries = found[0][1] if found else ()
                    if entries:
                        last = entries[-1][0]
                        connection.call("XDEL", key, *(entry[0] for entry in entries)).add_done_callback(_ignored)
                    for _, fields in entries:
                        try:
                            self._hear(dict(zip(fields[::2], fields[1::2], strict=False)).get(b"m", b""))
                        except Exception as error:  # ours: it costs the answers of one entry
                            self._line.report("an entry of answers could not be read and was dropped", error)
                except BROKEN:
                    await self._clock.sleep(self._line.pause_s(failures))
                    failures += 1
        finally:
            if connection is not None:
                await connection.close()

    def _hear(self, payload: bytes) -> None:
        try:
            frames = unpack_frames(payload)
        except Undecodable as error:
            self._set_aside("answers", payload, str(error))
            return
        for frame in frames:
            ask = self._asks.get(frame[0]) if frame and type(frame[0]) is int else None
            if ask is None:
                continue  # it was given up
            try:
                ask.answer(unpack_answer(frame, ask.path, ask.timeout_s))
            except Undecodable as error:
                self._set_aside("answers", repr(frame).encode(), str(error))
                ask.answer(Failure(error))

    # Letters that nobody can read.

    def _set_aside(self, where: str, content: bytes, why: str) -> None:
        self.dead_letters += 1
        task = asyncio.get_running_loop().create_task(self._keep_letter(where, content, why))
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    async def _keep_letter(self, where: str, content: bytes, why: str) -> None:
        words: tuple[Any, ...] = ("XADD", self._line.key("dead"), "MAXLEN", "~", DEAD_LETTERS, "*")
        for failures in range(10):
            try:
                await self._line.call(*words, "where", where, "why", why, "content", content, "node", self._line.node)
                return
            except BROKEN:
                await self._clock.sleep(self._line.pause_s(failures))


class FarInbox(Inbox):
    """Where messages to an actor on another node go in."""

    __slots__ = ("_address", "_box", "_link", "_path", "closed")

    def __init__(self, link: RedisLink, endpoint: str, path: str) -> None:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise NotStorable("expected the path of an actor without lone surrogates") from None
        self._link = link
        self._box = link.outbox(endpoint)
        self._path = path
        self._address = f"{endpoint}/{path}" if path else endpoint
        self.closed = False

    def offer(self, message: object) -> bool:
        return self._box.put((self._path, pack_message(message)))

    async def tell(self, message: object, timeout_s: float | None) -> None:
        item = (self._path, pack_message(message))
        if not self._box.put(item):
            deadline = inf if timeout_s is None else self._link._clock.monotonic() + timeout_s
            await self._box.room(item, self._address, deadline)

    async def ask(self, message: object, timeout_s: float | None) -> object:
        return await self._link.ask(self._box, self._path, self._address, pack_message(message), timeout_s)


def _ignored(call: asyncio.Future[Any]) -> None:
    """Letters that were read are removed when that succeeds; else they go with their stream."""
    if not call.cancelled():
        call.exception()
