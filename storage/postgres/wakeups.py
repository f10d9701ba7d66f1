"""Wake-ups by LISTEN and NOTIFY: hints gathered for up to 50 ms, each queue named once.

A NOTIFY holds a lock of the whole server while it commits, so there is one for all that gathered. The first after a
silence goes with the insert that it tells of, which commits anyhow: a NOTIFY by itself is a second commit, and as
durable. When the listening connection breaks it is made anew, 50 ms to 2 s apart, and then everybody looks everywhere:
what was said meanwhile is lost. Polling stands below.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Sequence

import asyncpg

from ...kernel.clock import SystemClock
from ..errors import StorageError
from ..ports.wakeups import WakeupStore
from ..records import Hint, Wakeup
from .lane import Connection, Lane, disconnect

_APART_S = 0.05
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_ALIVE_EVERY_S = 4.0  # and so long is waited for the answer: a silent connection is replaced within 10 s
_LONGEST_MESSAGE = 7_000  # the server takes 8,000 bytes
_NOTIFY = "SELECT pg_notify($1::text, $2::text)"
_MARK = "/*told*/"
_TOLD = ", (SELECT pg_notify($9::text, $10::text))"
_LAST_WORD_S = 1.0  # for what was announced and not yet told when the handle is closed
_BROKEN = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_OnWakeups = Callable[[Collection[Wakeup]], None]


class PostgresWakeups(WakeupStore):
    """Hints between the handles on one schema."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._options = lane.server.options
        self._clock = SystemClock()
        self.joins_inserts = self._options.is_notifying
        self._name = f"{lane.server.rng.getrandbits(64):016x}"  # who speaks, so that nobody hears himself
        self._waiting: set[Wakeup] = set()
        self._silent_until = 0.0
        self._hurry = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ear: Connection | None = None

    async def listen(self, on_wakeups: _OnWakeups) -> None:
        await self._stop_listening()
        if not self._options.is_notifying:
            return
        ears = _Ears(self._name, on_wakeups)
        with contextlib.suppress(*_BROKEN):  # tried again below
            self._ear = await self._subscribed(ears)
        self._listening = asyncio.get_running_loop().create_task(self._listen(ears), name="callboard-postgres-listen")

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        if not wakeups or not self._options.is_notifying:
            return
        self._waiting.update(wakeups)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="callboard-postgres-notify")

    def take_along(self, wakeups: Collection[Wakeup]) -> Hint | None:
        now = self._clock.monotonic()
        if not self.joins_inserts or self._telling is not None or now < self._silent_until:
            return None
        self._silent_until = now + _APART_S
        return Hint(message_of(self._name, sorted(wakeups)))

    async def close(self) -> None:
        await self._stop_listening()
        telling, self._telling = self._telling, None
        if telling is not None:
            self._hurry.set()
            await asyncio.wait([telling], timeout=_LAST_WORD_S)
            self._hurry.clear()
            telling.cancel()
            await asyncio.wait([telling])

    async def _tell(self) -> None:
        """Say what waits, and go on for as long as more gathered meanwhile."""
        while self._waiting:
            if (wait_s := self._silent_until - self._clock.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._hurry.wait()
            hints = sorted(self._waiting)
            self._waiting.clear()
            with contextlib.suppress(StorageError):  # a hint may be lost
                await self._say(message_of(self._name, hints))
            self._silent_until = self._clock.monotonic() + _APART_S
        self._telling = None

    async def _say(self, message: str) -> None:
        await self._lane.run(lambda connection: connection.execute(_NOTIFY, self._options.channel, message))

    async def _listen(self, ears: _Ears) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if self._ear is None:
                    self._ear = await self._subscribed(ears)
                    ears.on_wakeups(())
                pause_s = _FIRST_PAUSE_S
                await self._until_lost(self._ear)
            except _BROKEN:
                pass
            ear, self._ear = self._ear, None
            if ear is not None:
                ear.terminate()
            await self._clock.sleep(pause_s * self._lane.server.rng.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _until_lost(self, connection: Connection) -> None:
        """Returns when the server closed the connection, raises when it does not answer on it any more."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not connection.is_closed():
            try:
                async with asyncio.timeout(_ALIVE_EVERY_S):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=_ALIVE_EVERY_S)

    async def _subscribed(self, ears: _Ears) -> Connection:
        connection = await self._lane.server.connect(dsn=self._options.listen_dsn)
        try:
            await connection.add_listener(self._options.channel, ears)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])
        ear, self._ear = self._ear, None
        if ear is not None:
            await disconnect(ear)


def telling(text: str) -> str:
    """The text of an insert, so that it tells. Any other needs no right to notify, be it to tell nothing."""
    return text.replace(_MARK, _TOLD)


def message_of(speaker: str, hints: Sequence[tuple[str, str]]) -> str:
    """What is told of (topic, queue): everybody but the speaker heeds it. Too long a message says: look everywhere."""
    message = json.dumps([speaker, hints])
    return message if len(message) < _LONGEST_MESSAGE else json.dumps([speaker, []])


class _Ears:
    """What the client calls for each message."""

    def __init__(self, name: str, on_wakeups: _OnWakeups) -> None:
        self._name = name
        self.on_wakeups = on_wakeups

    def __call__(self, connection: object, pid: int, channel: str, message: object) -> None:
        try:
            speaker, hints = json.loads(str(message))
            wakeups = [Wakeup(str(topic), str(queue)) for topic, queue in hints]
        except (ValueError, TypeError):
            self.on_wakeups(())  # somebody else's word on our channel: looking does no harm
            return
        if speaker != self._name:
            self.on_wakeups(wakeups)
