"""What goes wrong in a storm, each trouble in a task of its own, seeded, until the storm is over."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tests.support.fault_proxy import FaultProxy

from .places import CRASHES, Place, ServerPlace
from .storm import Storm

FAULTS = ("kill", "stop", "cut", "dropreply", "restart")
BY_PROXY = frozenset({"cut", "dropreply"})
STOPPED_LEASES = (1.25, 2.5)  # how long a node is stopped, in leases
APART_S = 1.0  # between a node that goes on and the next that is stopped
DOWN_S = (0.0, 1.0)  # how long a server is away before it starts again


@dataclass(frozen=True, slots=True)
class Plan:
    """Which faults there are, and how dense."""

    faults: Collection[str]
    seed: int
    kill_every_s: float
    lease_s: float
    cut_every_s: float
    drop_rate: float
    restarts: int
    restart_every_s: float

    @property
    def needs_proxy(self) -> bool:
        """Whether nodes have to reach the server through one."""
        return not BY_PROXY.isdisjoint(self.faults)


class Troubles:
    """Those of one plan, on one place. `counters` says what was inflicted."""

    def __init__(self, plan: Plan, place: Place) -> None:
        self._plan = plan
        self._place = place
        self._tasks: list[asyncio.Task[None]] = []
        self._restarting: asyncio.Task[None] | None = None
        self._open = AsyncExitStack()
        self._proxy: FaultProxy | None = None
        self.counters: Counter[str] = Counter({"ticks_without_ready": 0})

    async def __aenter__(self) -> Troubles:
        if self._plan.needs_proxy:
            assert isinstance(self._place, ServerPlace)
            self._proxy = self._open.enter_context(FaultProxy(self._place.upstream))
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.end()
        await self._open.aclose()

    @property
    def url(self) -> str:
        """Where nodes and producers find the store."""
        if self._proxy is None:
            return self._place.url
        assert isinstance(self._place, ServerPlace)
        return self._place.url_by(self._proxy.at)

    def begin(self, storm: Storm) -> None:
        """From now on all of it happens to these nodes."""
        ways: dict[str, Coroutine[Any, Any, None]] = {
            name: getattr(self, f"_{name}")(storm, random.Random(f"{self._plan.seed}-{name}"))
            for name in self._plan.faults
        }
        for name, way in ways.items():
            task = asyncio.get_running_loop().create_task(way, name=name)
            if name == "restart":
                self._restarting = task
            self._tasks.append(task)

    @property
    def are_due(self) -> bool:
        """Whether there is some yet that has to happen before the storm may end."""
        return self._restarting is not None and not self._restarting.done()

    def check(self) -> None:
        """Raise what a trouble's own task raised: then the storm means nothing."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def end(self) -> None:
        """Nothing more goes wrong, and what is stopped or held back goes on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._proxy is not None:
            self.counters["replies_dropped"] = self._proxy.dropped
            self._proxy.heal()

    async def _kill(self, storm: Storm, rng: random.Random) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            at += self._plan.kill_every_s
            await asyncio.sleep(max(at - loop.time(), 0.0))
            proc = storm.ready(rng)
            if proc is None:
                self.counters["ticks_without_ready"] += 1
            else:
                storm.kill(proc)

    async def _stop(self, storm: Storm, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(APART_S)
            proc = storm.ready(rng)
            if proc is not None:
                await storm.stop(proc, self._plan.lease_s * rng.uniform(*STOPPED_LEASES))

    async def _cut(self, storm: Storm, rng: random.Random) -> None:
        assert self._proxy is not None
        self.counters.update(cuts=0, connections_cut=0)
        while True:
            await asyncio.sleep(self._plan.cut_every_s)
            self.counters["cuts"] += 1
            self.counters["connections_cut"] += self._proxy.cut()

    async def _dropreply(self, storm: Storm, rng: random.Random) -> None:
        assert self._proxy is not None
        self._proxy.drop_replies(self._plan.drop_rate, seed=rng.getrandbits(32))

    async def _restart(self, storm: Storm, rng: random.Random) -> None:
        assert isinstance(self._place, ServerPlace)
        loop = asyncio.get_running_loop()
        at = loop.time()
        self.counters["restarts"] = 0
        for _ in range(self._plan.restarts):
            at += self._plan.restart_every_s
            await asyncio.sleep(max(at - loop.time(), 0.0))
            await self._place.crash(rng.choice(CRASHES))
            try:
                await asyncio.sleep(rng.uniform(*DOWN_S))
            finally:
                await self._place.start_again()
            self.counters["restarts"] += 1
