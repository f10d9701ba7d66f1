"""What must be mended after a death, and what must not be broken by a clock: nodes in virtual time.

What recovers is itself killed here, in the midst of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from callboard import Ctx, Handle, JobState, Runtime, Settings
from callboard.actors.rescuer import FIRST_PAUSE_S
from callboard.kernel.clock import Clock, Timer
from callboard.runtime.environment import environment_here
from callboard.storage.memory.driver import MemoryStore
from callboard.storage.memory.jobs import MemoryJobs
from callboard.storage.ports.store import Store
from callboard.storage.records import ClaimReply, ClaimRequest, Rescued
from callboard.testing import Machine, simulate
from tests.support.faulty_store import FaultPlan, FaultyStore, NthCallOf, When

LEASE_S = 2.0
SWEEP_S = LEASE_S / 3
SETTINGS = Settings(lease=LEASE_S, leader_lease=LEASE_S, grace="1s", max_crashes=1000)


class ShiftedClock(Clock):
    """A machine's clock whose wall time somebody has set wrong, or sets anew."""

    def __init__(self, inner: Clock, shift_s: float = 0.0) -> None:
        self._inner = inner
        self.shift_s = shift_s

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def wall_ms(self) -> int:
        return self._inner.wall_ms() + int(self.shift_s * 1000)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return self._inner.call_later(delay_s, callback)


class Cluster:
    """Nodes on one store in memory, each a machine with a clock of its own."""

    def __init__(self) -> None:
        self.clock = environment_here().clock
        self.board = MemoryStore(clock=self.clock)
        self.starts: Counter[str] = Counter()
        self.machines: dict[Runtime, Machine] = {}
        self._ends: dict[Runtime, asyncio.Event] = {}

    def runtime(self, *, shift_s: float = 0.0, store: Store | None = None) -> Runtime:
        """Open it to enqueue, or let it be a node."""
        clock = ShiftedClock(self.clock, shift_s)
        mine = store or self.board.another(clock=clock)
        environment = replace(environment_here(), clock=clock, store_of=lambda url: mine)
        runtime = Runtime("memory://", settings=SETTINGS, environment=environment)

        @runtime.job(name="work")
        async def work(ctx: Ctx, seconds: float) -> float:
            self.starts[ctx.id] += 1
            await ctx.sleep(seconds)
            return seconds

        return runtime

    async def start(self, *, shift_s: float = 0.0, slots: int = 10, store: Store | None = None) -> Runtime:
        """A node that works."""
        runtime, end, up = self.runtime(shift_s=shift_s, store=store), asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with runtime, runtime.work({"default": slots}):
                up.set()
                await end.wait()

        self.machines[runtime], self._ends[runtime] = Machine(live), end
        await up.wait()
        return runtime

    def crash(self, runtime: Runtime) -> float:
        """Cut its power; when that was."""
        self.machines.pop(runtime).crash()
        return self.clock.monotonic()

    async def until(self, probe: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> float:
        """When it became true."""
        ends = self.clock.monotonic() + within_s
        while not await probe():
            assert self.clock.monotonic() < ends, "it did not become true"
            await self.clock.sleep(0.01)
        return self.clock.monotonic()

    async def close(self) -> None:
        for runtime, machine in self.machines.items():
            self._ends[runtime].set()
            await machine.ended()


def run(play: Callable[[Cluster], Awaitable[None]], *, seed: int = 0) -> None:
    async def main() -> None:
        cluster = Cluster()
        try:
            await play(cluster)
        finally:
            await cluster.close()

    simulate(main, seed=seed)


def clock_of(runtime: Runtime) -> ShiftedClock:
    assert runtime._environment is not None
    clock = runtime._environment.clock
    assert isinstance(clock, ShiftedClock)
    return clock


def is_executing(handle: Handle[Any]) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return (await handle.job()).state is JobState.EXECUTING

    return probe


def is_begun(cluster: Cluster, handle: Handle[Any]) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return cluster.starts[handle.id] > 0

    return probe


class TestClocks:
    @pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86_400.0, -86_400.0, 1.0])
    def test_f45_a_wall_clock_that_jumps_moves_no_lease_no_role_and_no_timeout(self, jump_s: float) -> None:
        """An hour, a day, a leap second; each way where there are two. A job that is due later runs once."""

        async def play(cluster: Cluster) -> None:
            nodes = [await cluster.start() for _ in range(2)]
            client = cluster.runtime()
            async with client:
                long = await client.jobs["work"].enqueue(5 * LEASE_S)
                due = await client.jobs["work"].options(delay=3.0).enqueue(0.0)
                await cluster.until(is_executing(long))
                roles = await cluster.board.roles.list()
                for node in nodes:
                    clock_of(node).shift_s = jump_s
                assert await long.result(timeout=60) == 5 * LEASE_S
                if jump_s < 0:  # it waits for that moment of the wall clock: here it comes again
                    assert due.id not in cluster.starts
                    for node in nodes:
                        clock_of(node).shift_s = 0.0
                assert await due.result(timeout=60) == 0.0
                assert cluster.starts == {long.id: 1, due.id: 1}
                assert [(row.holder, row.number) for row in await cluster.board.roles.list()] == [
                    (row.holder, row.number) for row in roles
                ]
                assert (await long.job()).crashes == 0

        run(play)

    @pytest.mark.parametrize("skew_s", [0.0, 300.0])
    def test_f46_nodes_whose_clocks_are_five_minutes_apart_work_as_others_do(self, skew_s: float) -> None:
        async def play(cluster: Cluster) -> None:
            for shift_s in (-skew_s, skew_s):
                await cluster.start(shift_s=shift_s)
            client = cluster.runtime()
            async with client:
                handles = [await client.jobs["work"].enqueue(seconds) for seconds in (0.0, 1.0, 3 * LEASE_S) * 5]
                for handle in handles:
                    await handle.result(timeout=60)
                assert set(cluster.starts.values()) == {1}
                assert [(await handle.job()).crashes for handle in handles] == [0] * 15
                [janitor] = await cluster.board.roles.list()
                assert janitor.number == 1

        run(play)


class DyingSweeper(MemoryStore):
    """A store whose node dies in the midst of its sweep: jobs were rescued, and nobody was told."""

    def __init__(self, inner: MemoryStore, die: Callable[[], object]) -> None:
        self._use(inner._board, inner._clock)
        self.jobs = _Dying(inner._board, inner._clock, die)


class _Dying(MemoryJobs):
    def __init__(self, board: Any, clock: Clock, die: Callable[[], object]) -> None:
        super().__init__(board, clock)
        self._die = die

    async def rescue(self, *, limit: int, max_crashes: int) -> list[Rescued]:
        self._die()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("dead")


class Outage(FaultPlan):
    """While it is on, nothing reaches the store but the methods in `heals`."""

    def __init__(self) -> None:
        self.is_on = False
        self.heals: set[str] = set()

    def next_call(self, method: str) -> When | None:
        return When.BEFORE if self.is_on and method not in self.heals else None


class SlowClaims(MemoryJobs):
    """What was claimed is heard of half a lease later."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        super().__init__(store._board, clock)
        self._own_clock = clock

    async def claim(self, requests: Sequence[ClaimRequest], *, boot_id: bytes, lease_ms: int) -> list[ClaimReply]:
        replies = await super().claim(requests, boot_id=boot_id, lease_ms=lease_ms)
        if any(reply.jobs for reply in replies):
            await self._own_clock.sleep(LEASE_S / 2)
        return replies


class TestRecovery:
    def test_f55_a_sweeper_that_dies_in_its_sweep_holds_nobody_up(self) -> None:
        """There is no lock that it could hold: recovery within a lease and two sweeps."""

        async def play(cluster: Cluster) -> None:
            victim = await cluster.start(slots=1)
            client = cluster.runtime()
            async with client:
                handle = await client.jobs["work"].enqueue(1.0)
                await cluster.until(is_executing(handle))
                dying: list[Runtime] = []
                sweeper = DyingSweeper(cluster.board, lambda: cluster.crash(dying.pop()))
                dying.append(await cluster.start(store=sweeper))
                await cluster.start()
                crashed = cluster.crash(victim)

                async def runs_again() -> bool:
                    return cluster.starts[handle.id] == 2

                assert await cluster.until(runs_again) - crashed <= LEASE_S + 2 * SWEEP_S + 0.1
                assert dying == []
                assert await handle.result(timeout=60) == 1.0

        for seed in range(5):
            run(play, seed=seed)

    def test_f57_a_node_that_comes_back_under_its_old_name_finds_its_own_jobs_orphaned(self) -> None:
        """Host and process number are the same in all of them; nothing but the boot id tells who has a job."""

        async def play(cluster: Cluster) -> None:
            first = await cluster.start()
            client = cluster.runtime()
            async with client:
                handle = await client.jobs["work"].enqueue(1.0)
                await cluster.until(is_executing(handle))
                crashed = cluster.crash(first)
                await cluster.start()
                names = {(row.host, row.pid) for row in await cluster.board.nodes.list()}
                assert len(names) == 1

                async def runs_again() -> bool:
                    return cluster.starts[handle.id] == 2

                assert await cluster.until(runs_again) - crashed <= LEASE_S + SWEEP_S + 0.1
                assert await handle.result(timeout=60) == 1.0

        run(play)

    def test_f58_a_dead_nodes_row_is_removed_and_its_job_is_rescued_without_it(self) -> None:
        async def play(cluster: Cluster) -> None:
            first = await cluster.start()
            boot_id = first.node.parts.boot_id
            client = cluster.runtime()
            async with client:
                handle = await client.jobs["work"].enqueue(1.0)
                await cluster.until(is_executing(handle))
                cluster.crash(first)
                await cluster.board.nodes.forget([boot_id])
                await cluster.start()
                assert await handle.result(timeout=60) == 1.0
                assert cluster.starts[handle.id] == 2

        run(play)

    def test_a_node_that_takes_a_dead_ones_place_rescues_its_jobs_at_once(self) -> None:
        """And not at its first turn: where every node is killed soon, none would live to see that."""

        async def play(cluster: Cluster) -> None:
            first = await cluster.start()
            client = cluster.runtime()
            async with client:
                handle = await client.jobs["work"].enqueue(1.0)
                await cluster.until(is_executing(handle))
                cluster.crash(first)
                await cluster.clock.sleep(2 * LEASE_S)
                await cluster.start()
                came = cluster.clock.monotonic()

                async def is_rescued() -> bool:
                    return (await handle.job()).crashes == 1

                assert await cluster.until(is_rescued) - came <= FIRST_PAUSE_S + 0.02

        run(play)

    def test_the_janitor_removes_dead_nodes_rows_and_no_others(self) -> None:
        async def play(cluster: Cluster) -> None:
            dead, alive = await cluster.start(), await cluster.start()
            gone = dead.node.parts.boot_id
            cluster.crash(dead)

            async def is_removed() -> bool:
                return gone not in {row.boot_id for row in await cluster.board.nodes.list()}

            await cluster.until(is_removed, within_s=120.0)
            assert [row.boot_id for row in await cluster.board.nodes.list()] == [alive.node.parts.boot_id]

        run(play)

    def test_f59_recovery_needs_no_free_slot_of_the_queue_it_recovers(self) -> None:
        """It is no job: the only slot left is taken for good, and the dead node's job is rescued all the same."""

        async def play(cluster: Cluster) -> None:
            first = await cluster.start(slots=1)
            client = cluster.runtime()
            async with client:
                lost = await client.jobs["work"].enqueue(1000.0)
                await cluster.until(is_executing(lost))
                await cluster.start(slots=1)
                blocking = await client.jobs["work"].enqueue(1000.0)
                await cluster.until(is_executing(blocking))
                crashed = cluster.crash(first)

                async def is_rescued() -> bool:
                    job = await lost.job()
                    return (job.state, job.crashes) == (JobState.AVAILABLE, 1)

                assert await cluster.until(is_rescued) - crashed <= LEASE_S + SWEEP_S + 0.1

        run(play)

    def test_f21_a_claim_that_outlived_an_outage_is_not_stopped_before_the_first_renewal(self) -> None:
        """It was asked for longer ago than a lease lasts, and what it brings is leased from now on."""

        async def play(cluster: Cluster) -> None:
            outage = Outage()
            await cluster.start(store=FaultyStore(cluster.board, outage))
            client = cluster.runtime()
            async with client:
                outage.is_on = True
                await cluster.clock.sleep(2 * LEASE_S)
                handle = await client.jobs["work"].enqueue(1.0)
                outage.heals = {"jobs.claim"}
                await cluster.until(is_executing(handle))
                await cluster.clock.sleep(LEASE_S / 4)
                outage.is_on = False

                assert await handle.result(timeout=60) == 1.0
                assert cluster.starts == {handle.id: 1}

        for seed in range(5):
            run(play, seed=seed)

    @pytest.mark.parametrize("part", [0.1, 0.3, 0.5])
    def test_a_lease_that_no_renewal_has_named_is_trusted_from_its_claim(self, part: float) -> None:
        """Renewals that go through meanwhile, for other leases, say nothing of it."""

        async def play(cluster: Cluster) -> None:
            outage = Outage()
            slow = cluster.board.another(clock=cluster.clock)
            slow.jobs = SlowClaims(cluster.board, cluster.clock)
            node = await cluster.start(store=FaultyStore(slow, outage))
            client = cluster.runtime()
            async with client:
                await cluster.clock.sleep(part * LEASE_S)
                handle = await client.jobs["work"].enqueue(10 * LEASE_S)
                await cluster.until(is_executing(handle))
                leased = cluster.clock.monotonic()
                await cluster.until(is_begun(cluster, handle))
                outage.is_on = True

                async def is_given_up() -> bool:
                    return not len(node.node.parts.in_flight)

                assert await cluster.until(is_given_up) - leased <= LEASE_S
                outage.is_on = False
                await handle.cancel()

        run(play)

    def test_work_that_ends_in_an_outage_leaves_what_others_ask_to_be_repeated(self) -> None:
        async def play(cluster: Cluster) -> None:
            outage = Outage()
            runtime = cluster.runtime(store=FaultyStore(cluster.board, outage))
            async with runtime:
                async with runtime.work({"default": 2}):
                    await cluster.clock.sleep(1.0)
                    outage.is_on = True
                    enqueuing = asyncio.ensure_future(runtime.jobs["work"].enqueue(0.0))
                    await cluster.clock.sleep(0.3)
                await cluster.clock.sleep(0.5)
                assert not enqueuing.done()
                outage.is_on = False
                handle = await enqueuing
                async with runtime.work({"default": 2}):
                    assert await handle.result(timeout=60) == 0.0

        run(play)

    def test_a_call_that_fails_once_as_its_node_is_closed_is_made_again(self) -> None:
        """The job that was interrupted is there for others at once, not when its lease is over."""

        async def play(cluster: Cluster) -> None:
            hiccup = NthCallOf("jobs.hand_back", 1, When.BEFORE)
            hiccup.arm()
            runtime = cluster.runtime(store=FaultyStore(cluster.board, hiccup))
            client = cluster.runtime()

            async def work() -> None:
                async with runtime.work({"default": 2}):
                    await asyncio.Event().wait()

            async with client:
                handle = await client.jobs["work"].enqueue(100.0)
                async with runtime:
                    working = asyncio.ensure_future(work())
                    await cluster.until(is_executing(handle))
                    for _ in range(2):  # the second one cuts the drain short
                        working.cancel()
                        await cluster.clock.sleep(0.05)
                    await asyncio.wait([working])
                job = await handle.job()
                assert hiccup.has_failed
                assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)

        run(play)
