"""The random workload over a network that delays, loses and cuts, then heals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from callboard import Handle
from callboard.actors.trust import OWN
from callboard.storage.errors import Unavailable
from callboard.storage.ids import parse_id
from callboard.testing import Carried, Machine, Network
from harness.claims_ledger import ClaimsLedger
from tests.support.workload import LEASE_S, Outcome, Workload

FATES = ("drain", "crash", "freeze", "cut", "cut", "deaf", "mute")
AGAIN_S = 0.5  # after a store that could not be reached
ROUND_TRIP_S = 0.05


@dataclass
class Stormed:
    """What is left of it."""

    outcome: Outcome
    wrong: list[str]  # what the store, and a node that lost its leases, should not have done
    fates: Counter[str]
    accepted: int
    refused: int
    repeated: int  # accepted once more
    lost: int
    came_late: int
    calm_s: float  # from the end of all trouble to the last job's end


class NetworkWorkload(Workload):
    """`storm` it once, within `simulate`: trouble for a while, then calm until all jobs have ended."""

    def __init__(self, seed: int, *, jobs: int = 16, nodes: int = 3, skew_s: float = 0.0, drift: float = 0.0) -> None:
        super().__init__(seed, jobs=jobs, nodes=nodes, crashes=True)
        self._skew_s = skew_s
        self._drift = drift
        self._storm_s = self._chance.uniform(10.0, 30.0)
        self._ledger = ClaimsLedger()
        self._fates: Counter[str] = Counter()

    async def storm(self) -> Stormed:
        """Enqueue over the network, disturb, heal, wait for every end."""
        network = self._network = Network(
            loss=self._chance.choice([0.0, 0.02, 0.1]),
            late=self._chance.choice([0.0, 0.02, 0.1]),
            late_s=(2.0, 15.0),
            observe=self._observe,
        )
        is_calm, is_over = asyncio.Event(), asyncio.Event()
        handles: list[Handle[Any]] = []
        client = self._runtime()
        async with client, asyncio.TaskGroup() as group:
            for number in range(self._nodes):
                group.create_task(self._trouble(number, is_calm, is_over))
            producer = self._machine(lambda: self._produce(handles), "producer")
            await asyncio.sleep(self._storm_s)
            network.loss = network.late = 0.0
            network.heal()
            is_calm.set()
            calm_since = asyncio.get_running_loop().time()
            await producer.ended()
            ours = [client.handle(handle.id) for handle in handles]
            await asyncio.gather(*(self._end(handle) for handle in ours))
            calm_s = asyncio.get_running_loop().time() - calm_since
            is_over.set()
            jobs = {handle.id: await handle.job() for handle in ours}
            counts = await client.counts()
        outcome = Outcome(
            jobs,
            self._tempers,
            self._victims,
            self._starts,
            self._tokens,
            self._overlaps,
            counts,
            self._stops,
        )
        ledger = self._ledger
        return Stormed(
            outcome,
            ledger.wrong + self._stopped_early(),
            self._fates,
            ledger.accepted,
            ledger.refused,
            ledger.repeated,
            network.lost,
            network.came_late,
            calm_s,
        )

    def _stopped_early(self) -> list[str]:
        """Attempts that were stopped for want of a lease while they had it."""
        trusted_s = OWN * LEASE_S * (1 - self._drift) - ROUND_TRIP_S
        ages = [(id, at_s - self._ledger.granted_at[parse_id(id), token]) for id, token, at_s in self._cut_short]
        return [f"{id} was stopped {age_s:.3f} s after it was leased" for id, age_s in ages if age_s < trusted_s]

    def _observe(self, call: Carried) -> None:
        self._ledger.note(call)

    def _machine(self, main: Callable[[], Coroutine[Any, Any, None]], name: str) -> Machine:
        ahead_s = self._chance.uniform(-self._skew_s, self._skew_s)
        return Machine(main, name=name, ahead_s=ahead_s, drift=self._chance.uniform(-self._drift, self._drift))

    async def _produce(self, handles: list[Handle[Any]]) -> None:
        """On a machine: enqueue all, and cancel some a while later."""
        async with self._runtime() as client:
            for _ in range(self._jobs):
                handles.append(await self._enqueue(client))
            victims = self._chance.sample(handles, self._jobs // 6)
            self._victims = {handle.id for handle in victims}
            await asyncio.gather(*(self._cancel(handle) for handle in victims))

    async def _trouble(self, number: int, is_calm: asyncio.Event, is_over: asyncio.Event) -> None:
        """Run one node, again and again, each time for a while; in the calm one that goes on."""
        while not is_over.is_set():
            stop = asyncio.Event()
            identity = object()
            machine = self._machine(lambda stop=stop, me=identity: self._keep_serving(me, stop), f"node {number}")  # type: ignore[misc]
            self._up[identity] = machine
            await self._pause(is_calm, 0.5, 6)
            if not is_calm.is_set():
                await self._disturb(machine, identity, is_calm)
            if is_calm.is_set():
                await is_over.wait()
            stop.set()
            await machine.ended()
            del self._up[identity]
            self._stops += 1
            await self._pause(is_calm, 0.1, 2)

    async def _disturb(self, machine: Machine, identity: object, is_calm: asyncio.Event) -> None:
        fate = self._chance.choice(FATES)
        self._fates[fate] += 1
        if fate == "crash":
            machine.crash()
        elif fate == "freeze":
            self._were_frozen.add(identity)
            machine.freeze()
            await asyncio.sleep(self._chance.uniform(3, 15))
            machine.thaw()
            await self._pause(is_calm, 0.1, 3)
        elif fate != "drain":
            self._network.cut(machine, requests=fate != "deaf", replies=fate != "mute")
            await self._pause(is_calm, 1, 15)
            self._network.heal(machine)
            await self._pause(is_calm, 0.1, 6)

    async def _pause(self, is_calm: asyncio.Event, least_s: float, most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(least_s, most_s)):
                await is_calm.wait()

    async def _keep_serving(self, me: object, stop: asyncio.Event) -> None:
        """On a machine: as its process manager would, start anew when the store could not be reached."""
        while not stop.is_set():
            try:
                await self._serve(me, stop)
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
