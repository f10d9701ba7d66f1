"""Five nodes of a cluster in virtual time, over a network that delays, loses and cuts, while their machines crash,
stand still and are stopped; then all heals, a leader must be there, and every job must end.

One role, "scribe", is held for a duty that never ceases to write because of it: new jobs, inserted with the term, by
way of the storage actor, which repeats them after an outage, or directly. What the store lets through is checked by
ledgers that share no code with it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from callboard import Actor, ChildSpec, Ctx, JobState, Registry, Runtime, Settings
from callboard.actors.tenure import Tenure
from callboard.kernel.errors import CallboardError
from callboard.runtime.enqueueing import new_rows
from callboard.runtime.tree import role_spec
from callboard.storage.errors import TermOver, Unavailable
from callboard.storage.messages import InsertJobs
from callboard.storage.records import JobFilter
from callboard.storage.role import Term
from callboard.testing import Carried, Machine, Network

from .claims_ledger import ClaimsLedger
from .roles_ledger import RolesLedger

STORE = "postgresql://cluster/any"  # in a simulation: one board in memory that all nodes share
ROLE = "scribe"
LEASE_S = 2.0
LR_S = LEASE_S / 3
FAILOVER_S = LEASE_S + 2 * LR_S  # the longest that a role may be without a holder once all is well
SETTINGS = Settings(lease="5s", leader_lease="2s", grace="1s", max_crashes=1000)
FATES = ("crash", "freeze", "cut", "deaf", "mute", "drain")
AGAIN_S = 0.3  # after a store that could not be reached
WRITES_AT_MOST = 100  # by the scribes of one run, until the calm
WRITING_AT_ONCE = 4  # by one scribe
DRAINED_S = 30.0  # at most, in the calm
TERMINAL = [state.value for state in JobState if state.is_terminal]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run went."""

    wrong: list[str]  # one line each; none: it passed
    fates: Counter[str]
    terms: int  # of the scribe's role
    accepted: int  # writes with a term
    refused: int
    lost: int  # requests, replies and wake-ups
    came_late: int
    jobs: int
    failover_s: float  # until a leader was on duty, counted from the healing
    drained_s: float  # until the last job had ended, likewise


def again(seed: int, drift: float = 0.0) -> str:
    """The command that runs a seed once more."""
    return f"python bench/simulate.py --seeds 1 --first {seed}" + (f" --drift {drift:g}" if drift else "")


class ClusterStorm:
    """`run` it once, within `simulate`. A seed decides all that happens."""

    def __init__(self, seed: int, *, nodes: int = 5, drift: float = 0.0) -> None:
        self.chance = random.Random(f"cluster, {seed}")
        self.roles = RolesLedger()
        self.wrong: list[str] = []
        self.acknowledged: list[bytes] = []  # ids of jobs whose insertion was answered
        self.writes = 0  # that scribes have tried
        self._drift = drift
        self._claims = ClaimsLedger()
        self._places = [Place(number) for number in range(nodes)]
        self._fates: Counter[str] = Counter()
        self._stale_s = 0.0  # when something arrived that had been given up before, at last
        self._accepted_s = 0.0  # when a write with a term of the scribe's was let through, at last
        self._registry = self._jobs()

    @property
    def is_over(self) -> bool:
        """Whether scribes should write no more."""
        return self._is_over.is_set() or (self.writes >= WRITES_AT_MOST and not self._is_calm.is_set())

    async def run(self) -> Verdict:
        """Start all, disturb, heal, and wait for what must follow."""
        self._loop = asyncio.get_running_loop()
        self._is_calm, self._is_over = asyncio.Event(), asyncio.Event()
        self._network = Network(
            delay_s=(0.001, self.chance.choice([0.02, 0.32])),
            loss=self.chance.choice([0.0, 0.02, 0.1]),
            late=self.chance.choice([0.0, 0.03, 0.1]),
            late_s=(0.7, 6.0),
            timeout_s=1.0,
            observe=self._observe,
        )
        async with Runtime(STORE, settings=SETTINGS) as beside, asyncio.TaskGroup() as group:
            for place in self._places:
                group.create_task(self._keep_up(place))
            await self._disturb(self.chance.uniform(6.0, 12.0))
            self._heal()
            healed_s = self._loop.time()
            failover_s = await self._until_led()
            led_s, terms = self._loop.time(), len(self.roles.terms[ROLE])
            await self._until(lambda: self._accepted_s > led_s, "a write of the leader is let through", LEASE_S)
            self._is_over.set()
            drained_s = await self._until_drained(beside) - healed_s
            await asyncio.sleep(2 * LEASE_S)
            await self._until_drained(beside)  # a last line may have been under way
            if len(self.roles.terms[ROLE]) > terms and self._stale_s < led_s:
                self.wrong.append(f"the role changed hands {len(self.roles.terms[ROLE]) - terms} times in the calm")
            jobs = await self._judge_jobs(beside)
            for place in self._places:
                place.stop.set()
        return Verdict(
            wrong=self.wrong + self.roles.wrong + self._claims.wrong,
            fates=self._fates,
            terms=len(self.roles.terms[ROLE]),
            accepted=self.roles.accepted,
            refused=self.roles.refused,
            lost=self._network.lost,
            came_late=self._network.came_late,
            jobs=jobs,
            failover_s=failover_s,
            drained_s=drained_s,
        )

    def _observe(self, call: Carried) -> None:
        self.roles.note(call)
        self._claims.note(call)
        if call.method.startswith("roles.") and call.at_s - call.sent_s > LR_S:
            self._stale_s = call.at_s
        fence = call.kwargs.get("fence")
        if fence is not None and fence.role == ROLE and call.error is None:
            self._accepted_s = call.at_s

    # Trouble.

    async def _keep_up(self, place: Place) -> None:
        """One node after another in that place."""
        while not place.stop.is_set() or not self._is_over.is_set():
            place.stop = asyncio.Event()
            drift = self.chance.uniform(-self._drift, self._drift)
            place.machine = Machine(lambda: self._live(place), name=f"node {place.number}", drift=drift)
            await place.machine.ended()
            if not self._is_over.is_set():
                await self._calm_within(self.chance.uniform(0.1, 3.0))

    async def _live(self, place: Place) -> None:
        """On a machine: a node; started anew, as its process manager would, where it could not reach the store."""
        while not place.stop.is_set():
            runtime = Runtime(STORE, settings=SETTINGS)
            runtime.include(self._registry)
            place.runtime = runtime
            try:
                async with runtime.work({"default": 3}):
                    await self._seek_office(runtime)
                    await place.stop.wait()
            except Unavailable:
                await asyncio.sleep(AGAIN_S)

    async def _seek_office(self, runtime: Runtime) -> None:
        def duty(tenure: Tenure) -> list[ChildSpec]:
            return [ChildSpec(Scribe, id="scribe", args=(tenure, runtime, self))]

        roles = runtime.node.root.children["roles"].nested
        assert roles is not None
        spec = role_spec(ROLE, duty, runtime.node.parts, runtime.node.store.roles, lease_s=LEASE_S)
        await roles.start_child(spec)

    async def _disturb(self, for_s: float) -> None:
        """Every now and then something happens, more often than not to the leader."""
        until = self._loop.time() + for_s
        async with asyncio.TaskGroup() as group:
            while self._loop.time() < until:
                await asyncio.sleep(self.chance.uniform(0.3, 2.0))
                healthy = [place for place in self._places if place.is_healthy]
                leaders = [place for place in healthy if place.leads]
                if healthy:
                    victim = self.chance.choice(leaders if leaders and self.chance.random() < 0.6 else healthy)
                    victim.is_troubled = True
                    group.create_task(self._trouble(victim, self.chance.choice(FATES)))
            self._is_calm.set()

    async def _trouble(self, place: Place, fate: str) -> None:
        self._fates[fate] += 1
        machine = place.machine
        assert machine is not None
        match fate:
            case "crash":
                machine.crash()
            case "drain":
                place.stop.set()
            case "freeze":
                machine.freeze()
                await self._calm_within(self.chance.uniform(0.5, 4 * LEASE_S))
                machine.thaw()
            case _:
                self._network.cut(machine, requests=fate != "deaf", replies=fate != "mute")
                await self._calm_within(self.chance.uniform(0.5, 3 * LEASE_S))
                self._network.heal(machine)
        place.is_troubled = False

    def _heal(self) -> None:
        self._network.loss = self._network.late = 0.0
        self._network.heal()

    async def _calm_within(self, longest_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._is_calm.wait()

    # What must follow.

    async def _until_led(self) -> float:
        """Seconds from the healing until somebody led who goes on to lead.

        What was given up and arrives only now is trouble too: a campaign, say, of a node that is gone.
        """
        healed_s = last_s = self._loop.time()
        while self._loop.time() < max(healed_s, self._stale_s) + FAILOVER_S:
            if not any(place.leads for place in self._places):
                last_s = self._loop.time()
            await asyncio.sleep(0.02)
        if not any(place.leads for place in self._places):
            self.wrong.append(f"nobody leads {FAILOVER_S:.3f} s after the healing")
        return max(last_s - max(healed_s, self._stale_s), 0.0)

    async def _until_drained(self, beside: Runtime) -> float:
        """When the last job had ended."""
        until = self._loop.time() + DRAINED_S
        while (counts := await beside.counts()) and sum(counts.values()) > sum(counts[state] for state in TERMINAL):
            if self._loop.time() > until:
                self.wrong.append(f"after {DRAINED_S:g} s of calm not all jobs have ended: {counts}")
                break
            await asyncio.sleep(0.1)
        return self._loop.time()

    async def _until(self, is_so: Callable[[], bool], what: str, longest_s: float) -> None:
        until = self._loop.time() + longest_s
        while not is_so():
            if self._loop.time() > until:
                self.wrong.append(f"{longest_s:g} s went by until {what}")
                return
            await asyncio.sleep(0.02)

    async def _judge_jobs(self, beside: Runtime) -> int:
        """How many there are."""
        jobs = {job.id: job for job in await beside.node.store.jobs.select(JobFilter(), limit=10 * WRITES_AT_MOST)}
        for job_id in self.acknowledged:
            if job_id not in jobs:
                self.wrong.append(f"job {job_id.hex()} was acknowledged and is not there")
        for job in jobs.values():
            if job.state is not JobState.COMPLETED:
                self.wrong.append(
                    f"job {job.id.hex()} is {job.state}, after {job.attempt} attempts, {job.crashes} crashes"
                )
        return len(jobs)

    def _jobs(self) -> Registry:
        registry = Registry()

        @registry.job(name="line")
        async def line(ctx: Ctx, number: int) -> int:
            await ctx.sleep(self.chance.uniform(0.05, 0.5))
            return number

        return registry


class Place:
    """Where one node after another runs."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.machine: Machine | None = None
        self.runtime: Runtime | None = None
        self.stop = asyncio.Event()
        self.is_troubled = False

    @property
    def is_healthy(self) -> bool:
        return self.machine is not None and self.machine.is_up and not self.is_troubled

    @property
    def leads(self) -> bool:
        if self.machine is None or not self.machine.is_up or self.runtime is None or not self.runtime.is_open:
            return False
        seat = self.runtime.node.parts.seats.get(ROLE)
        return seat is not None and seat.is_on_duty


@dataclass(frozen=True, slots=True)
class Write:
    """The time has come for the next line."""


class Scribe(Actor):
    """Writes because of its term, again and again, until it may be over; does not wait for one answer to write more."""

    def __init__(self, tenure: Tenure, runtime: Runtime, storm: ClusterStorm) -> None:
        self._tenure = tenure
        self._runtime = runtime
        self._storm = storm
        self._writing: list[asyncio.Task[None]] = []

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        self._again()

    async def stopping(self, exit: object) -> None:
        for task in self._writing:
            task.cancel()

    async def receive(self, message: object) -> None:
        self._writing = [task for task in self._writing if not task.done()]
        with suppress(TermOver):
            self._act()
            if not self._storm.is_over and len(self._writing) < WRITING_AT_ONCE:
                self._writing.append(asyncio.get_running_loop().create_task(self._write()))
        self._again()

    def _act(self) -> Term:
        """Do something because of the term, be it nothing. Raises `TermOver`."""
        fence = self._tenure.fence()
        self._storm.roles.acted(fence, asyncio.get_running_loop().time())
        return fence

    async def _write(self) -> None:
        node, storm = self._runtime.node, self._storm
        with suppress(CallboardError):  # refused, or no answer: the next line is another job
            fence = self._act()
            storm.writes += 1
            [job] = new_rows(node, [self._runtime.jobs["line"].bind(storm.writes)])
            if storm.chance.random() < 0.5:
                await self._storage.ask(InsertJobs([job], fence), timeout=2 * LEASE_S)
            else:
                await node.store.jobs.insert([job], fence=fence)
            storm.acknowledged.append(job.id)

    def _again(self) -> None:
        self.context.send_after(self._storm.chance.uniform(0.02, 0.2), Write())
