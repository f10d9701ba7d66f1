"""The store in a PostgreSQL database: many nodes on many machines, durable commits, the database that is there already.

    caller -> jobs.py -> claims, ends, operations -> lane.py (one connection for each kind of work) -> sql/
    the heartbeat's thread -> heartbeats.py, on a connection of its own
    nodes among each other -> wakeups.py (LISTEN and NOTIFY)

`options.py` reads the URL, `opening.py` accepts a server or refuses it, and migrates; `upkeep.py` keeps busy tables
lean.
All times are the server's: it keeps the leases itself, and of its wall clock nodes know enough (`store_clock.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..ports.store import Store
from ..records import Finding
from ..store_clock import StoreClock, StoreTime
from .controls import PostgresControls
from .examine import examine
from .heartbeats import PostgresHeartbeat
from .identity import read_store_id
from .jobs import PostgresJobs
from .lane import Server
from .lanes import Lanes
from .nodes import PostgresNodes
from .opening import open_schema
from .options import options_of
from .queues import PostgresQueues
from .roles import PostgresRoles
from .transactions import PostgresTransactions
from .upkeep import Upkeep
from .wakeups import PostgresWakeups


class PostgresStore(Store):
    """One handle on a schema. Methods are called on the event loop that opened it, the heartbeat's from its own.

    Constructing it raises `InvalidStore` for a URL that cannot mean a server.
    """

    is_durable = True
    is_shared = True
    is_embedded = False
    commits_together = False

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        rng: random.Random | None = None,  # jitter; seeded by the system
        time: StoreTime | None = None,  # keeps to the server's wall clock; None: wall time is that of `clock`
    ) -> None:
        self._own_clock = clock
        if time is not None:
            clock = StoreClock(clock, time.wall_ms)
        self._clock = clock
        self.wall_ms = clock.wall_reader()
        self._server = Server(options_of(url), rng or random.Random(), time)
        self._lanes = Lanes(self._server)
        self.upkeep = Upkeep(self._lanes.upkeep)
        self.jobs = self._jobs = PostgresJobs(self._lanes, self.upkeep, clock)
        self.queues = PostgresQueues(self._lanes)
        self.nodes = PostgresNodes(self._lanes, clock, self._jobs.warm)
        self.roles = PostgresRoles(self._lanes)
        self.controls = PostgresControls(self._lanes)
        self.wakeups = PostgresWakeups(self._lanes.hints)
        self.transactions = PostgresTransactions(self._server, clock)

    async def open(self, *, migrate: bool = True) -> None:
        try:
            await open_schema(self._lanes.work, migrate=migrate)
            self._server.ask_time_again()  # the first answer took longer: the question had to be planned
            self._server.opened(await read_store_id(self._lanes.work))
        except BaseException:
            await self._lanes.close()
            raise

    async def close(self) -> None:
        await self.wakeups.close()
        await self._jobs.close()
        await self.upkeep.close()
        await self._lanes.close()

    def heartbeats(self) -> HeartbeatStore:
        return PostgresHeartbeat(self._server, self._clock)

    async def examine(self) -> Sequence[Finding]:
        return await self._lanes.reads.run(lambda connection: examine(connection, self._server, self._own_clock))
