"""Runtimes in simulation: whatever order things happen in, no job is lost, doubled or stuck."""

from __future__ import annotations

import asyncio
import threading

import pytest

from callboard import Ctx, JobFailed, JobState, Retry, Runtime, Settings
from callboard.kernel.errors import CallboardError
from callboard.testing import Machine, Simulation, simulate
from tests.support.workload import Outcome, Workload, problems_of

SEEDS = range(50)


class TestInvariants:
    """A small random workload over many seeds."""

    @pytest.mark.parametrize("crashes", [False, True], ids=["drains", "crashes"])
    def test_every_job_ends_once_and_as_it_should(self, crashes: bool) -> None:
        for seed in SEEDS:
            outcome = simulate(Workload(seed, crashes=crashes).run, seed=seed).value
            problems = problems_of(outcome, crashes=crashes)
            assert problems == [], f"seed {seed}"

    def test_the_workload_meets_what_it_is_about(self) -> None:
        """Else the test above would hold for want of trouble."""
        states = set()
        crashes = restarts = 0
        for seed in range(10):
            outcome = simulate(Workload(seed, crashes=True).run, seed=seed).value
            states |= {job.state for job in outcome.jobs.values()}
            crashes += sum(job.crashes for job in outcome.jobs.values())
            restarts += sum(outcome.starts[id] > job.attempt for id, job in outcome.jobs.items())

        assert states == {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.DISCARDED}
        assert crashes > 10
        assert restarts > 10


class TestDeterminism:
    """Gate 6: one seed, one run."""

    @pytest.mark.parametrize("crashes", [False, True], ids=["drains", "crashes"])
    def test_a_seed_gives_the_same_hash_twice_and_another_seed_another(self, crashes: bool) -> None:
        def run(seed: int) -> Simulation[Outcome]:
            return simulate(Workload(1, crashes=crashes).run, seed=seed)

        first, second, other = run(7), run(7), run(8)

        assert first.event_hash == second.event_hash
        assert (first.events, first.virtual_s) == (second.events, second.virtual_s)
        assert first.value == second.value
        assert first.event_hash != other.event_hash

    def test_the_seed_is_all_that_decides_ids_and_jitter(self) -> None:
        runtime = Runtime("memory://")

        @runtime.job(retry=Retry(max_attempts=3))
        async def fail() -> None:
            raise ValueError

        async def main() -> tuple[str, float]:
            async with runtime.work():
                handle = await fail.enqueue()
                with pytest.raises(JobFailed):
                    await handle.result()
                return handle.id, asyncio.get_running_loop().time()

        runs = [simulate(main, seed=seed).value for seed in (1, 1, 2)]

        assert runs[0] == runs[1]
        assert runs[0][0] != runs[2][0]
        assert runs[0][1] != runs[2][1]


class TestRuntime:
    """What a runtime gets in a simulation."""

    def test_a_runtime_made_outside_is_simulated_too(self) -> None:
        runtime = Runtime("sqlite:///never-made.db")
        threads: list[int] = []

        @runtime.job
        def plain() -> str:
            threads.append(threading.get_ident())
            return "done"

        async def main() -> tuple[str, float]:
            async with runtime.work():
                value = await (await plain.options(delay="1m").enqueue()).result()
                return value, asyncio.get_running_loop().time()

        value, took_s = simulate(main).value
        assert value == "done"
        assert 60 <= took_s < 62
        assert threads == [threading.get_ident()]

    def test_one_url_is_one_store_and_memory_is_ones_own(self) -> None:
        async def main() -> list[int]:
            totals = []
            for url in ("redis://anywhere/0", "memory://"):
                async with Runtime(url) as first, Runtime(url) as second:
                    await first.enqueue("anything")
                    totals.append((await second.counts())["available"])
            return totals

        assert simulate(main).value == [1, 0]

    def test_handlers_open_runtimes_of_the_same_simulation(self) -> None:
        runtime = Runtime("sqlite:///cluster.db")

        @runtime.job
        async def outer(ctx: Ctx) -> bool:
            async with Runtime("sqlite:///other.db") as other:
                return bool(other.node.parts.rng is ctx.runtime.node.parts.rng)

        async def main() -> bool:
            async with runtime.work():
                return await (await outer.enqueue()).result()

        assert simulate(main).value


class TestMachine:
    """Nodes that crash."""

    def test_jobs_of_a_crashed_node_are_rescued_by_another(self) -> None:
        for seed in range(50):
            lost, took_s = simulate(_crash_one_of_two, seed=seed).value
            assert lost == 0, f"seed {seed}"
            assert took_s < 60, f"seed {seed}"

    def test_a_frozen_machine_goes_on_without_knowing(self) -> None:
        async def main() -> list[float]:
            did: list[float] = []

            async def tick() -> None:
                for _ in range(4):
                    await asyncio.sleep(1)
                    did.append(asyncio.get_running_loop().time())

            machine = Machine(tick)
            await asyncio.sleep(1.5)
            machine.freeze()
            await asyncio.sleep(10)
            assert did == [1.0]
            machine.thaw()
            await machine.ended()
            return did

        assert simulate(main).value == [1.0, 11.5, 12.5, 13.5]

    def test_a_crashed_machine_does_nothing_any_more(self) -> None:
        did: list[float] = []

        async def main() -> int:
            async def tick() -> None:
                try:
                    while True:
                        await asyncio.sleep(1)
                        did.append(asyncio.get_running_loop().time())
                finally:
                    did.append(-1.0)

            machine = Machine(tick)
            await asyncio.sleep(2.5)
            assert machine.is_up
            machine.crash()
            await machine.ended()
            await asyncio.sleep(10)
            assert not machine.is_up
            return len(did)

        assert simulate(main).value == 2
        assert did == [1.0, 2.0, -1.0]  # it is cleaned up once the simulation is over

    def test_what_its_main_raises_is_raised_by_ended(self) -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        async def main() -> None:
            machine = Machine(fail)
            with pytest.raises(ZeroDivisionError):
                await machine.ended()
            assert not machine.is_up

        simulate(main)

    async def test_outside_of_a_simulation_it_is_refused(self) -> None:
        with pytest.raises(CallboardError, match="within simulate"):
            Machine(_crash_nothing)


async def _crash_nothing() -> None:
    raise AssertionError("it ran")


async def _crash_one_of_two() -> tuple[int, float]:
    """Jobs that never completed, and how many virtual seconds it took; half the nodes crash while all is running."""
    settings = Settings(lease="2s", max_crashes=1000)
    client = Runtime("sqlite:///cluster.db", settings=settings)

    async def serve() -> None:
        runtime = Runtime("sqlite:///cluster.db", settings=settings)

        @runtime.job
        async def work(ctx: Ctx, number: int) -> int:
            await ctx.sleep(1.0)
            return number

        async with runtime.work({"default": 5}):
            await asyncio.Event().wait()

    async with client:
        handles = [await client.enqueue("work", number) for number in range(30)]
        machines = [Machine(serve) for _ in range(2)]
        await asyncio.sleep(1.5)
        machines[0].crash()
        values = [await handle.result(600) for handle in handles]
        rescued = sum([(await handle.job()).crashes for handle in handles])
        assert rescued > 0
        return len(set(range(30)) - set(values)), asyncio.get_running_loop().time()
