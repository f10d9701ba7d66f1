"""Nodes whose clocks are wrong, and nodes that were away, in virtual time: what they and the others make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from callboard import Ctx, Handle, JobFailed, JobState, Retry, Runtime, Settings
from callboard.actors.node_log import NodeLog
from callboard.testing import Carried, Machine, Network, simulate
from tests.support.network_workload import NetworkWorkload
from tests.support.skewed_nodes import Lived, SkewedNodes
from tests.support.workload import problems_of

STORE = "redis://anywhere/0"
LEASE_S = 2.0
# What SkewedNodes comes to, and when its attempts begin by the store's clock, from the beginning.
ENDS = {
    "late": (JobState.COMPLETED, 1, 90),  # its deadline, from when it was enqueued
    "dated": (JobState.COMPLETED, 1, None),
    "flaky": (JobState.COMPLETED, 3, 3),
    "frugal": (JobState.FAILED, 3, None),
    "sleepy": (JobState.COMPLETED, 1, 1),
    "parent": (JobState.COMPLETED, 1, None),
    "child": (JobState.COMPLETED, 1, None),
}
BEGUN = {
    "late": [61.0],
    "dated": [100.0],
    "flaky": [1.0, 21.0, 41.0],
    "frugal": [1.0, 21.0, 41.0],
    "sleepy": [1.0, 31.0, 61.0],
    "parent": [1.0],
    "child": [26.0],
}
WITHIN_S = 0.4  # a call takes up to 0.04 s, and each moment comes after a few
SETTINGS = Settings(lease=LEASE_S, leader_lease=LEASE_S, max_crashes=1000)


def node(
    handler: Callable[[Ctx], Coroutine[Any, Any, Any]] | None = None, *, queue: str = "default"
) -> Callable[[], Coroutine[Any, Any, None]]:
    """The main of a machine: a node until the simulation ends."""

    async def main() -> None:
        runtime = Runtime(STORE, settings=SETTINGS)
        if handler is not None:
            runtime.job(name="work", retry=Retry(max_attempts=1))(handler)
        async with runtime.work({queue: 2}):
            await asyncio.Event().wait()

    return main


async def claimed(handles: list[Handle[Any]]) -> None:
    """Until the store has leased them, which their node hears of 0.02 s later."""
    for _ in range(1000):
        if all([(await handle.job()).state is JobState.EXECUTING for handle in handles]):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("nobody claimed them")


async def rows(beside: Runtime) -> int:
    return len(await beside.node.store.nodes.list())


class TestWrongClocks:
    """F46: the wall clocks of two nodes differ by five minutes and more."""

    def test_every_moment_of_a_jobs_life_is_one_of_the_stores_clock(self) -> None:
        """Delays, pauses before retries, a retry budget, snoozes, `at=`, what a handler enqueues, retention."""
        lived = simulate(SkewedNodes((300.0, -300.0)).live).value

        assert lived.ends == ENDS
        assert lived.begun == {name: pytest.approx(moments, abs=WITHIN_S) for name, moments in BEGUN.items()}
        assert lived.told == pytest.approx(BEGUN["flaky"][1:], abs=WITHIN_S)
        assert {name: moments[1:] for name, moments in lived.stored.items()} == {
            name: pytest.approx([moments[-1]] * 3, abs=WITHIN_S) for name, moments in BEGUN.items()
        }
        assert len(lived.prune_off_s) > 4
        assert lived.prune_off_s == pytest.approx([0.0] * len(lived.prune_off_s), abs=WITHIN_S)
        assert lived.left == 0

    @pytest.mark.parametrize("jump_s", [0.0, 3600.0, -3600.0])
    @pytest.mark.parametrize("ahead_s", [(0.0, 0.0), (300.0, -300.0), (-300.0, 300.0)])
    def test_f46_a_run_is_the_same_event_for_event_whatever_the_clocks_of_its_machines_say(
        self, ahead_s: tuple[float, float], jump_s: float
    ) -> None:
        """Of the nodes and of the client. Nothing is left to tell apart: no end, no moment, not a single call."""

        def ran(ahead_s: tuple[float, float], jump_s: float) -> tuple[Lived, str]:
            jumps = [(12.0, jump_s), (35.0, -jump_s), (52.0, -jump_s), (70.0, jump_s)]
            done = simulate(SkewedNodes(ahead_s, jumps=jumps).live)
            return done.value, done.event_hash

        assert ran(ahead_s, jump_s) == ran((0.0, 0.0), 0.0)

    @pytest.mark.parametrize("ahead_s", [300.0, -300.0])
    def test_a_job_that_is_due_later_is_waited_for_and_not_asked_for_without_end(self, ahead_s: float) -> None:
        async def main() -> tuple[int, float]:
            claims: list[Carried] = []
            Network(observe=lambda call: claims.append(call) if call.method == "jobs.claim" else None)
            ran: list[float] = []

            async def work(ctx: Ctx) -> None:
                ran.append(asyncio.get_running_loop().time())

            async with Runtime(STORE) as beside:
                Machine(node(work), ahead_s=ahead_s)
                handle = await beside.job(name="work")(work).options(delay=60.0).enqueue()
                await handle.result(600.0)
            return len(claims), ran[0]

        claims, ran_s = simulate(main).value

        assert claims < 2 * 60 / 0.75 + 20  # polls, and a few to find out about the clock
        assert 60.0 <= ran_s <= 61.2

    def test_rows_of_nodes_that_live_stay_though_the_janitor_is_ahead(self) -> None:
        async def main() -> None:
            Network()
            async with Runtime(STORE) as beside:
                for ahead_s in (300.0, 0.0):
                    Machine(node(), ahead_s=ahead_s)
                    await asyncio.sleep(1.0)
                for _ in range(300):
                    await asyncio.sleep(1.0)
                    assert await rows(beside) == 2

        simulate(main)

    def test_the_row_of_a_node_that_died_goes_though_the_janitor_is_behind(self) -> None:
        async def main() -> None:
            Network()
            async with Runtime(STORE) as beside:
                Machine(node(), ahead_s=-300.0)
                await asyncio.sleep(1.0)
                other = Machine(node())
                await asyncio.sleep(1.0)
                other.crash()
                await asyncio.sleep(10 * LEASE_S + 2 * 30.0 + 1.0)
                assert await rows(beside) == 1

        simulate(main)

    def test_jobs_end_as_with_true_clocks(self) -> None:
        for seed in range(2):
            left = simulate(NetworkWorkload(seed, skew_s=300.0).storm, seed=seed).value
            assert left.wrong + problems_of(left.outcome, crashes=True) == [], f"seed {seed}"

    @pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86400.0, -86400.0])
    def test_a_clock_that_jumps_moves_no_lease_no_term_and_no_timeout(self, jump_s: float) -> None:
        """F45: and what is scheduled begins once, when the store says so."""

        async def main() -> tuple[list[float], list[float], int]:
            Network()
            begun: list[float] = []
            timed_out: list[float] = []

            async def work(ctx: Ctx) -> None:
                begun.append(asyncio.get_running_loop().time())
                try:
                    await ctx.sleep(30.0)
                except asyncio.CancelledError:
                    timed_out.append(asyncio.get_running_loop().time())
                    raise

            async with Runtime(STORE) as beside:
                machine = Machine(node(work))
                job = beside.job(name="work")(work)
                at_once = await job.enqueue()
                impatient = await job.options(timeout=20.0).enqueue()
                await asyncio.sleep(10.0)
                machine.ahead_s += jump_s
                later = await job.options(delay=50.0).enqueue()
                await at_once.result(60.0)
                with pytest.raises(JobFailed):
                    await impatient.result(60.0)
                await later.result(120.0)
                jobs = [await handle.job() for handle in (at_once, later)]
                assert [(job.attempt, job.crashes) for job in jobs] == [(1, 0)] * 2
                [role] = await beside.node.store.roles.list()
            return begun, timed_out, role.number

        begun, timed_out, terms = simulate(main).value

        assert len(begun) == 3
        assert 60.0 <= begun[2] <= 61.2
        assert [ended - 20.0 for ended in timed_out] == [pytest.approx(begun[1], abs=0.1)]
        assert terms == 1


class TestAway:
    """Nodes that were cut off or stood still for long."""

    @pytest.mark.parametrize("how", ["cut", "freeze"])
    def test_one_that_was_taken_for_dead_has_a_row_again_when_it_is_back(self, how: str) -> None:
        async def main() -> None:
            network = Network()
            async with Runtime(STORE) as beside:
                Machine(node())
                await asyncio.sleep(1.0)
                away = Machine(node())
                await asyncio.sleep(1.0)
                network.cut(away) if how == "cut" else away.freeze()
                await asyncio.sleep(10 * LEASE_S + 2 * 30.0 + 1.0)
                assert await rows(beside) == 1
                network.heal(away) if how == "cut" else away.thaw()
                await asyncio.sleep(10.0)
                assert await rows(beside) == 2

        simulate(main)

    def test_leases_that_were_given_up_are_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also while the end of such an attempt waits for the store to answer again."""
        said: list[str] = []
        monkeypatch.setattr(NodeLog, "error", lambda log, event, **fields: said.append(event))

        async def main() -> None:
            network = Network()

            async def work(ctx: Ctx) -> None:
                await ctx.sleep(0.5)

            async with Runtime(STORE) as beside:
                machine = Machine(node(work))
                await asyncio.sleep(1.0)
                handle = await beside.enqueue("work")
                await asyncio.sleep(0.25)
                network.cut(machine)
                await asyncio.sleep(20.0)
                network.heal()
                await handle.result(60.0)

        simulate(main)

        assert said.count("leases could not be renewed in time; their attempts stop") == 1

    @pytest.mark.parametrize("frozen_s", [0.5 * LEASE_S, 5 * LEASE_S], ids=["still has its leases", "lost them"])
    def test_jobs_whose_claim_is_heard_of_after_a_freeze_take_no_slot_for_good(self, frozen_s: float) -> None:
        """They are stopped in the moment in which they are started, before their first step."""

        async def main() -> None:
            network = Network(delay_s=(0.02, 0.02))

            async def work(ctx: Ctx) -> None:
                await ctx.sleep(0.5)

            async with Runtime(STORE) as beside:
                machine = Machine(node(work))
                await asyncio.sleep(1.0)
                handles = [await beside.enqueue("work") for _ in range(2)]  # for both slots
                await claimed(handles)
                machine.freeze()
                await asyncio.sleep(frozen_s)
                machine.thaw()
                for handle in [*handles, await beside.enqueue("work")]:
                    await handle.result(60.0)
            assert network.lost == 0

        simulate(main)

    @pytest.mark.parametrize("phase", range(10))  # of its beats, when it is frozen
    def test_a_claim_that_is_heard_of_when_its_leases_are_over_begins_nothing(self, phase: int) -> None:
        """Another node has the jobs by then."""

        async def main() -> None:
            network = Network(delay_s=(0.02, 0.02))
            starts: list[tuple[str, int]] = []

            async def work(ctx: Ctx) -> None:
                starts.append((ctx.id, ctx.fencing_token))
                await ctx.sleep(10 * LEASE_S)

            async with Runtime(STORE) as beside:
                first = Machine(node(work))
                await asyncio.sleep(1.0 + phase * LEASE_S / 30)
                handles = [await beside.enqueue("work") for _ in range(2)]
                await claimed(handles)
                first.freeze()
                Machine(node(work))
                await asyncio.sleep(5 * LEASE_S)
                assert sorted(starts) == [(handle.id, 2) for handle in handles]
                first.thaw()
                for handle in handles:
                    await handle.result(60.0)
            assert len(starts) == 2
            assert network.lost == 0

        simulate(main)

    def test_what_waits_for_a_slot_when_its_lease_is_over_is_not_begun(self) -> None:
        """A node that wakes up has jobs in hand beyond its slots, as one with short ones has; another has run them."""

        async def main() -> None:
            Network(delay_s=(0.001, 0.001))
            latest: dict[str, int] = {}
            stale: list[str] = []

            async def work(ctx: Ctx) -> None:
                if ctx.fencing_token < latest.setdefault(ctx.id, ctx.fencing_token):
                    stale.append(ctx.id)
                latest[ctx.id] = ctx.fencing_token
                await ctx.sleep(0.004)

            async with Runtime(STORE) as beside:
                first = Machine(node(work))
                await asyncio.sleep(1.0)
                handles = [await beside.enqueue("work") for _ in range(500)]
                await asyncio.sleep(0.2)
                first.freeze()
                in_hand = (await beside.counts())["executing"]
                Machine(node(work))
                await asyncio.sleep(5 * LEASE_S)
                first.thaw()
                for handle in handles:
                    await handle.result(60.0)
            assert in_hand > 4
            assert stale == []

        simulate(main)

    @pytest.mark.parametrize("cleanup_s", [0.8, 3.0], ids=["ends", "is left behind"])
    def test_a_job_that_comes_back_while_its_lost_attempt_still_ends_runs_to_its_end(self, cleanup_s: float) -> None:
        """The same node claims it anew: for a moment it has two attempts of one job, of which one counts."""

        async def main() -> tuple[object, int]:
            Network()
            starts: list[int] = []

            async def work(ctx: Ctx) -> int:
                starts.append(ctx.fencing_token)
                try:
                    await ctx.sleep(100.0 if len(starts) == 1 else 2.0)
                except asyncio.CancelledError:
                    await asyncio.sleep(cleanup_s)
                    raise
                return ctx.fencing_token

            async with Runtime(STORE) as beside:
                first = Machine(node(work))
                Machine(node(work, queue="other"))  # expires leases, and leaves the job to the first
                await asyncio.sleep(1.0)
                handle = await beside.enqueue("work")
                await asyncio.sleep(0.5)
                first.freeze()
                await asyncio.sleep(5 * LEASE_S)
                first.thaw()
                value = await handle.result(60.0)
            return value, len(starts)

        assert simulate(main).value == (2, 2)
