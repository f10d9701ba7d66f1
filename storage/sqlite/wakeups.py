"""Wake-ups between processes on one file: datagram sockets, and underneath a look at whether the file changed.

The look (`PRAGMA data_version` on the writing connection) tells of commits by other connections only. It finds what a
datagram missed within a second. Where sockets cannot be had it does their work: every 5 ms after something was found,
backing off to 50 ms. Four times a second it looks whether a process on the file has died (`presence.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Callable, Collection

from ...kernel.clock import Clock
from ..errors import StorageError
from ..ports.wakeups import WakeupStore
from ..records import Wakeup
from .connection import side_folder
from .presence import Presence
from .sockets import Folder, Mailbox
from .writer import Writer

_LOOK_BESIDE_SOCKETS_S = 1.0
_LOOK_OFTEN_S = 0.005
_LOOK_RARELY_S = 0.05
_LOOK_FOR_DEAD_S = 0.25
_OnWakeups = Callable[[Collection[Wakeup]], None]


class SqliteWakeups(WakeupStore):
    """Hints between the processes on one file."""

    joins_inserts = False

    def __init__(
        self, writer: Writer, presence: Presence, clock: Clock, path: str, *, use_sockets: bool = True
    ) -> None:
        self._writer = writer
        self._presence = presence
        self._clock = clock
        self._path = path
        self._use_sockets = use_sockets and sys.platform != "win32"
        self._on_wakeups: _OnWakeups | None = None
        self._folder: Folder | None = None
        self._mailbox: Mailbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def has_sockets(self) -> bool:
        """Whether this handle is woken by datagrams; else it looks by itself, often."""
        return self._mailbox is not None

    async def listen(self, on_wakeups: _OnWakeups) -> None:
        await self.close()
        self._loop = asyncio.get_running_loop()
        self._on_wakeups = on_wakeups
        if self._use_sockets:
            with contextlib.suppress(OSError):  # no sockets on this file system: then the looking is quicker
                self._mailbox = Mailbox(self._open_folder())
                self._loop.add_reader(self._mailbox.fileno(), self._on_datagrams, self._mailbox, on_wakeups)
        seen = await self._version()
        self._looking = self._loop.create_task(self._look(seen, on_wakeups), name="callboard-sqlite-look")
        self._watching = self._loop.create_task(self._watch(on_wakeups), name="callboard-sqlite-watch")

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        if not self._use_sockets:
            return
        with contextlib.suppress(OSError):
            own = self._mailbox.name if self._mailbox is not None else None
            self._open_folder().send(wakeups, but_to=own)

    async def tell_all(self, wakeups: Collection[Wakeup]) -> None:
        """Tell others, and this handle's own listener, of what a connection committed that is no handle's."""
        if self._on_wakeups is not None:
            self._on_wakeups(wakeups)
        await self.announce(wakeups)

    def take_along(self, wakeups: Collection[Wakeup]) -> None:
        """Nothing: see `joins_inserts`."""

    async def close(self) -> None:
        self._on_wakeups = None
        tasks = [task for task in (self._looking, self._watching) if task is not None]
        self._looking = self._watching = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            assert self._loop is not None
            self._loop.remove_reader(mailbox.fileno())
            mailbox.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    def _open_folder(self) -> Folder:
        if self._folder is None:
            self._folder = Folder(side_folder(self._path))
        return self._folder

    def _on_datagrams(self, mailbox: Mailbox, on_wakeups: _OnWakeups) -> None:
        on_wakeups(mailbox.read())

    async def _look(self, seen: int, on_wakeups: _OnWakeups) -> None:
        pause = _LOOK_OFTEN_S
        while True:
            await self._clock.sleep(_LOOK_BESIDE_SOCKETS_S if self.has_sockets else pause)
            try:
                found = await self._version()
            except StorageError:
                # Whoever looks now meets the same error, and can say so better than a hint.
                on_wakeups(())
                pause = _LOOK_RARELY_S
                continue
            if found == seen:
                pause = min(pause * 1.1, _LOOK_RARELY_S)
            else:
                seen, pause = found, _LOOK_OFTEN_S
                on_wakeups(())

    async def _watch(self, on_wakeups: _OnWakeups) -> None:
        """Tell of processes that died, until somebody has rescued what they held."""
        while True:
            await self._clock.sleep(_LOOK_FOR_DEAD_S)
            if self._presence.dead():
                on_wakeups((Wakeup("lost", ""),))

    async def _version(self) -> int:
        return await self._writer.look(_data_version)


def _data_version(connection: sqlite3.Connection) -> int:
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return int(version)
