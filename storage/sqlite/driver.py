"""The store in a SQLite file: several processes on one machine, durable commits, nothing else to install.

    caller -> jobs.py -> writer.py (one thread, one transaction for all that waits) -> inserts, claims, ends, ...
    reader -> jobs.py -> reader.py (aiosqlite, a snapshot for each statement)

`connection.py` opens a file or refuses it, `turns.py` shares the write lock between processes, `wakeups.py` wakes them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...kernel.clock import Clock, SystemClock
from ..errors import StorageError
from ..ports.jobs import HeartbeatStore
from ..ports.store import Store
from ..records import Finding
from .connection import Opened, open_store, side_folder
from .controls import SqliteControls
from .examine import examine
from .faults import no_room
from .heartbeats import SqliteHeartbeat
from .host import Host
from .jobs import SqliteJobs
from .nodes import SqliteNodes
from .presence import Presence
from .queues import SqliteQueues
from .reader import Reader
from .roles import SqliteRoles
from .transactions import SqliteTransactions
from .turns import LockWaits
from .wakeups import SqliteWakeups
from .writer import Writer

RESERVE_BYTES = 16 * 1024 * 1024
LOCK_TIMEOUT_S = 5.0
_LOOK_AT_ROOM_S = 0.1


class SqliteStore(Store):
    """One handle on a file. Methods are called on the event loop that opened it, the heartbeat's from its own."""

    is_durable = True
    is_shared = True
    is_embedded = True
    commits_together = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock,
        reserve_bytes: int = RESERVE_BYTES,  # room kept free for completions: new jobs are refused below; 16 MiB
        lock_timeout_s: float = LOCK_TIMEOUT_S,  # how long a write waits for other processes; 5
        use_sockets: bool = True,  # for wake-ups between processes, else they look; True
        host: Host | None = None,  # the machine; this one
    ) -> None:
        self.path = os.path.abspath(path)
        self._clock = clock
        self.wall_ms = clock.wall_reader()
        self._reserve_bytes = reserve_bytes
        self._lock_timeout_s = lock_timeout_s
        self._host = host or Host()
        self._room: tuple[float, StorageError | None] | None = None
        self._opened: Opened | None = None
        self._writer = Writer(clock, path=self.path, refusal=self._refusal)
        self._reader = Reader(self.path)
        self._presence = Presence(side_folder(self.path))
        self.jobs = SqliteJobs(self._writer, self._reader, self._presence, clock)
        self.queues = SqliteQueues(self._writer, self._reader)
        self.nodes = SqliteNodes(self._writer, self._reader, self._presence)
        self.roles = SqliteRoles(self._writer)
        self.controls = SqliteControls(self._writer, self._reader)
        self.wakeups = SqliteWakeups(self._writer, self._presence, clock, self.path, use_sockets=use_sockets)
        self._transactions = SqliteTransactions(self.path, clock, self._reader, self.wakeups, self._refusal)
        self.transactions = self._transactions

    async def open(self, *, migrate: bool = True) -> None:
        def connect() -> Opened:
            return open_store(
                self.path, clock=self._clock, host=self._host, migrate=migrate, lock_timeout_s=self._lock_timeout_s
            )

        self._opened = await self._writer.start(connect)
        try:
            await self._reader.open()
        except BaseException:
            await self._writer.stop()
            raise

    async def close(self) -> None:
        await self._transactions.close()
        await self.wakeups.close()
        await self._reader.close()
        self._presence.close()
        # Last: the last connection to go folds the log into the file.
        await self._writer.stop()

    def heartbeats(self) -> HeartbeatStore:
        return SqliteHeartbeat(self._writer)

    async def examine(self) -> Sequence[Finding]:
        return await examine(self._reader, self._host, self.path, self._reserve_bytes, self.lock_waits())

    def lock_waits(self) -> LockWaits:
        """How long this process waited for others to let it write."""
        return self._opened.turns.waits() if self._opened is not None else LockWaits(0, 0.0, 0.0, 0.0)

    def _refusal(self) -> StorageError | None:
        """Why no new jobs are taken; looks at the disk at most every 100 ms. Called in the writer's thread."""
        now = SystemClock().monotonic()
        if self._room is None or now - self._room[0] > _LOOK_AT_ROOM_S:
            self._room = (now, self._look_at_room())
        return self._room[1]

    def _look_at_room(self) -> StorageError | None:
        try:
            left = self._host.room_bytes(self.path)
        except OSError:
            return None  # the folder is gone: the writing itself says so better
        if left >= self._reserve_bytes:
            return None
        return no_room(
            self.path, f"{left >> 20} MiB are left, {self._reserve_bytes >> 20} MiB are kept for completions"
        )
