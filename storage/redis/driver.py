"""The store on a Redis or Valkey server: many machines, one script for each transition, wake-ups in a millisecond.

    caller -> jobs.py -> connection.py -> lua/jobs/*.lua (a whole batch, alone on the server)

`keys.py` has the layout, `rows.py` the bytes, `opening.py` refuses what will not do, `wakeups.py` wakes the others.

All times are the server's (`TIME`): it keeps the leases itself, and of its wall clock nodes know enough
(`store_clock.py`), so no jump of a node's clock moves anything. Durable is what the server's append-only file holds; a
failover may lose what was acknowledged last, since Redis replicates behind the answer. So may a power cut, but for
`appendfsync always`: a term granted in that moment is forgotten, and its number is given again; a fence compares the
holder too, so neither passes for the other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...kernel.clock import Clock
from ..ports.jobs import HeartbeatStore
from ..ports.store import Store
from ..records import Finding
from ..store_clock import StoreClock, StoreTime
from .address import Address
from .connection import SOCKET_TIMEOUT_S, Server
from .controls import RedisControls
from .examine import examine
from .heartbeats import RedisHeartbeat
from .jobs import RedisJobs
from .nodes import RedisNodes
from .opening import open_store
from .queues import RedisQueues
from .roles import RedisRoles
from .wakeups import SILENCE_S, RedisWakeups


class RedisStore(Store):
    """One handle on a namespace. Methods are called on the event loop that opened it, the heartbeat's from its own."""

    is_durable = True
    is_shared = True
    transactions = None
    is_embedded = False
    commits_together = False

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        timeout_s: float = SOCKET_TIMEOUT_S,  # for a connection, and for each answer; 5
        silence_s: float = SILENCE_S,  # twice that without a sign of life, and a subscription is made anew; 4
        time: StoreTime | None = None,  # keeps to the server's wall clock; None: wall time is that of `clock`
    ) -> None:
        self.address = address
        self._own_clock = clock
        if time is not None:
            clock = StoreClock(clock, time.wall_ms)
        self._clock = clock
        self.wall_ms = clock.wall_reader()
        self._server = Server(address, timeout_s=timeout_s, time=time)
        self.jobs = RedisJobs(self._server, clock)
        self.queues = RedisQueues(self._server)
        self.nodes = RedisNodes(self._server, clock)
        self.roles = self._roles = RedisRoles(self._server)
        self.controls = RedisControls(self._server)
        self.wakeups = RedisWakeups(self._server, clock, os.urandom(16), silence_s=silence_s)

    async def open(self, *, migrate: bool = True) -> None:
        self._server.open()
        try:
            await open_store(self._server, new_id=os.urandom(16), migrate=migrate)
            await self._server.read_time()
        except BaseException:
            await self._server.close()
            raise

    async def close(self) -> None:
        await self.wakeups.close()
        await self._roles.close()
        await self._server.close()

    def heartbeats(self) -> HeartbeatStore:
        return RedisHeartbeat(self._server, self._clock)

    async def examine(self) -> Sequence[Finding]:
        return await examine(self._server, self._own_clock)
