"""Nodes whose clocks are wrong, and nodes that were away, in virtual time: what they and the others make of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from callboard import Ctx, Runtime, Settings
from callboard.testing import Carried, Machine, Network, simulate
from tests.support.network_workload import NetworkWorkload
from tests.support.workload import problems_of

STORE = "redis://anywhere/0"
LEASE_S = 2.0
SETTINGS = Settings(lease=LEASE_S, leader_lease=LEASE_S, max_crashes=1000)


def node(handler: Callable[[Ctx], Coroutine[Any, Any, None]] | None = None) -> Callable[[], Coroutine[Any, Any, None]]:
    """The main of a machine: a node until the simulation ends."""

    async def main() -> None:
        runtime = Runtime(STORE, settings=SETTINGS)
        if handler is not None:
            runtime.job(name="work")(handler)
        async with runtime.work({"default": 2}):
            await asyncio.Event().wait()

    return main


async def rows(beside: Runtime) -> int:
    return len(await beside.node.store.nodes.list())


class TestWrongClocks:
    """F46: the wall clocks of two nodes differ by five minutes and more."""

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
        """Only later: moments to run at are the enqueuing node's own."""
        for seed in range(2):
            left = simulate(NetworkWorkload(seed, skew_s=300.0).storm, seed=seed).value
            assert left.wrong + problems_of(left.outcome, crashes=True) == [], f"seed {seed}"


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

    def test_leases_that_were_given_up_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Also while the end of such an attempt waits for the store to answer again."""
        caplog.set_level(logging.ERROR, "callboard.node")

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

        said = [record for record in caplog.records if "could not be renewed in time; their attempts" in record.message]
        assert len(said) == 1
