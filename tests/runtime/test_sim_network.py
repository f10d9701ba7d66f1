"""The network of a simulation: what it does to calls and wake-ups, and that a seed decides it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import pytest

from callboard import Runtime
from callboard.kernel.errors import CallboardError
from callboard.runtime.environment import environment_here
from callboard.runtime.simulation import BEGAN_MS
from callboard.storage.errors import TermOver, Unavailable
from callboard.storage.job import NewJob
from callboard.storage.ports.store import Store
from callboard.storage.records import JobFilter, Wakeup
from callboard.testing import Carried, Machine, Network, simulate
from tests.support.apart import run_apart

STORE = "redis://anywhere/0"
JOB = NewJob(bytes(16), "any", "default", b"", 2, None, None)


def at(store_of: Callable[[Store], Awaitable[None]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """The main of a machine that opens the store and does that with it."""

    async def main() -> None:
        async with Runtime(STORE) as runtime:
            await store_of(runtime.node.store)

    return main


def now_s() -> float:
    return asyncio.get_running_loop().time()


class TestCalls:
    """Requests and replies."""

    def test_a_call_takes_its_way_there_and_back(self) -> None:
        took: list[float] = []

        async def call(store: Store) -> None:
            for _ in range(20):
                began = now_s()
                await store.queues.list()
                took.append(now_s() - began)

        async def main() -> None:
            Network(delay_s=(0.1, 0.3))
            await Machine(at(call)).ended()

        simulate(main)

        assert min(took) >= 0.2
        assert max(took) <= 0.6
        assert len(set(took)) == 20

    @pytest.mark.parametrize(("direction", "is_kept"), [("requests", False), ("replies", True)])
    def test_one_that_is_cut_off_learns_nothing(self, direction: str, is_kept: bool) -> None:
        """Whether the call took effect depends on what was lost."""

        async def main() -> int:
            network = Network(timeout_s=3.0)

            async def insert(store: Store) -> None:
                network.cut(machine, requests=direction == "requests", replies=direction == "replies")
                assert network.is_cut(machine)
                began = now_s()
                with pytest.raises(Unavailable, match=r"jobs\.insert: the network gave no answer within 3 s"):
                    await store.jobs.insert([JOB])
                assert now_s() - began == pytest.approx(3.0)
                network.heal(machine)
                await store.queues.list()

            async with Runtime(STORE) as beside:
                machine = Machine(at(insert))
                await machine.ended()
                assert network.lost == 1
                return sum((await beside.counts()).values())

        assert simulate(main).value == is_kept

    def test_all_is_lost_by_chance_where_the_chance_is_one(self) -> None:
        async def call(store: Store) -> None:
            with pytest.raises(Unavailable):
                await store.queues.list()

        async def main() -> None:
            network = Network(loss=1.0)
            await Machine(at(call)).ended()
            assert (network.sent, network.lost) == (1, 1)

        simulate(main)

    def test_what_a_store_raises_comes_back(self) -> None:
        async def insert(store: Store) -> None:
            term = (await store.roles.campaign(["any"], holder=b"me", lease_ms=1000))[0].term
            assert term is not None
            await store.roles.resign([term])
            with pytest.raises(TermOver):
                await store.jobs.insert([JOB], fence=term)

        async def main() -> None:
            Network()
            await Machine(at(insert)).ended()

        simulate(main)

    def test_a_late_write_arrives_when_its_term_is_over_and_is_refused(self) -> None:
        """The nastiest: sent in time, carried out when another holds the role."""
        seen: list[Carried] = []

        async def main() -> tuple[int, int]:
            network = Network(late_s=(5.0, 10.0), observe=seen.append)

            async def lead(store: Store) -> None:
                term = (await store.roles.campaign(["any"], holder=b"me", lease_ms=1000))[0].term
                network.late = 1.0
                with pytest.raises(Unavailable):
                    await store.jobs.insert([JOB], fence=term)

            async with Runtime(STORE) as beside:
                await Machine(at(lead)).ended()
                await asyncio.sleep(1.0)
                (row,) = await beside.node.store.roles.campaign(["any"], holder=b"other", lease_ms=60_000)
                assert row.number == 2
                await asyncio.sleep(20.0)
                return sum((await beside.counts()).values()), network.came_late

        assert simulate(main).value == (0, 1)
        insert = seen[-1]
        assert insert.method == "jobs.insert"
        assert isinstance(insert.error, TermOver)
        assert 5.0 <= insert.at_s - insert.sent_s <= 10.0

    def test_a_machine_that_crashes_cannot_take_back_what_it_sent(self) -> None:
        async def main() -> int:
            network = Network(delay_s=(0.5, 0.5))

            async def insert(store: Store) -> None:
                machine_is_at.set()
                await store.jobs.insert([JOB])
                raise AssertionError("it has crashed before the reply")

            machine_is_at = asyncio.Event()
            async with Runtime(STORE) as beside:
                machine = Machine(at(insert))
                await machine_is_at.wait()
                await asyncio.sleep(0.1)
                machine.crash()
                assert network.sent == 1
                await asyncio.sleep(2.0)
                return sum((await beside.counts()).values())

        assert simulate(main).value == 1

    def test_one_that_stands_still_finds_the_reply_when_it_goes_on(self) -> None:
        async def main() -> float:
            Network(delay_s=(0.5, 0.5), timeout_s=5.0)
            answered: list[float] = []

            async def call(store: Store) -> None:
                is_at.set()
                await store.queues.list()
                answered.append(now_s())

            is_at = asyncio.Event()
            machine = Machine(at(call))
            await is_at.wait()
            machine.freeze()
            await asyncio.sleep(60.0)
            machine.thaw()
            await machine.ended()
            return answered[0] - 60.0

        assert simulate(main).value == pytest.approx(1.0)

    def test_a_request_that_is_held_by_a_cut_arrives_after_it(self) -> None:
        async def main() -> list[float]:
            seen: list[Carried] = []
            network = Network(late=1.0, late_s=(0.0, 0.0), observe=seen.append)

            async def insert(store: Store) -> None:
                network.cut(machine)
                with pytest.raises(Unavailable):
                    await store.jobs.insert([JOB])

            machine = Machine(at(insert))
            await machine.ended()
            await asyncio.sleep(10.0)
            assert seen == []
            healed_at = now_s()
            network.heal()
            await asyncio.sleep(1.0)
            assert network.came_late == 1
            return [call.at_s - healed_at for call in seen]

        (after_s,) = simulate(main).value
        assert 0.001 <= after_s <= 0.02

    def test_opening_a_store_from_a_machine_that_is_cut_off_fails(self) -> None:
        async def main() -> None:
            network = Network()

            async def open_it() -> None:
                with pytest.raises(Unavailable, match="connecting"):
                    await Runtime(STORE).__aenter__()

            machine = Machine(open_it)
            network.cut(machine)
            await machine.ended()

        simulate(main)

    def test_what_stands_beside_the_store_and_what_is_its_own_are_not_on_it(self) -> None:
        async def main() -> int:
            network = Network(loss=1.0)

            async def enqueue() -> None:
                async with Runtime("memory://") as runtime:
                    await runtime.enqueue("any")

            async with Runtime(STORE) as beside:
                await beside.enqueue("any")
            await Machine(enqueue).ended()
            return network.sent

        assert simulate(main).value == 0


class TestWakeups:
    """Hints are lost, doubled and delayed, and nobody hears of it."""

    def test_one_that_was_cut_off_is_told_to_look_everywhere(self) -> None:
        async def main() -> list[tuple[float, Collection[Wakeup]]]:
            network = Network(delay_s=(0.1, 0.2))
            heard: list[tuple[float, Collection[Wakeup]]] = []
            ear = Machine(at(listening(heard)))
            mouth = Machine(at(announcing(3)))
            await asyncio.sleep(2.0)
            network.cut(ear)
            await asyncio.sleep(1.0)
            network.heal(ear)
            await mouth.ended()
            await asyncio.sleep(1.0)
            return heard

        heard = simulate(main).value

        assert [list(wakeups) for _, wakeups in heard] == [[Wakeup("work", "0")], [], [Wakeup("work", "2")]]
        assert 3.1 <= heard[1][0] <= 3.2

    def test_some_are_lost_and_some_come_twice(self) -> None:
        async def main() -> list[str]:
            Network(loss=0.3)
            heard: list[tuple[float, Collection[Wakeup]]] = []
            Machine(at(listening(heard)))
            await Machine(at(announcing(100))).ended()
            return [wakeup.queue for _, wakeups in heard for wakeup in wakeups]

        queues = simulate(main).value

        assert len(set(queues)) < 100
        assert len(queues) > len(set(queues))

    def test_one_that_stands_still_hears_them_later_and_one_that_has_closed_never(self) -> None:
        async def main() -> tuple[list[float], int]:
            Network()
            heard: list[tuple[float, Collection[Wakeup]]] = []
            unheard: list[tuple[float, Collection[Wakeup]]] = []

            async def open_and_close(store: Store) -> None:
                await listening(unheard, for_s=0.5)(store)

            ear = Machine(at(listening(heard)))
            Machine(at(open_and_close))
            mouth = Machine(at(announcing(1)))
            await asyncio.sleep(0.5)
            ear.freeze()
            await mouth.ended()
            await asyncio.sleep(50.0)
            assert heard == []
            ear.thaw()
            thawed_at = now_s()
            await asyncio.sleep(1.0)
            return [at_s - thawed_at for at_s, _ in heard], len(unheard)

        assert simulate(main).value == ([0.0], 0)


def listening(
    heard: list[tuple[float, Collection[Wakeup]]], *, for_s: float = 1000.0
) -> Callable[[Store], Awaitable[None]]:
    async def listen(store: Store) -> None:
        await store.wakeups.close()  # the runtime's own
        await store.wakeups.listen(lambda wakeups: heard.append((now_s(), wakeups)))
        await asyncio.sleep(for_s)

    return listen


def announcing(count: int) -> Callable[[Store], Awaitable[None]]:
    """That many, one a second."""

    async def announce(store: Store) -> None:
        for number in range(count):
            await asyncio.sleep(1.0)
            await store.wakeups.announce([Wakeup("work", str(number))])

    return announce


class TestClocks:
    """A machine's clocks are its own, the stores' are true."""

    @pytest.mark.parametrize(
        ("ahead_s", "drift", "monotonic_s", "wall_s", "slept_s"),
        [(0.0, 0.0, 100.0, 100.0, 11.0), (300.0, 0.0, 100.0, 400.0, 11.0), (-300.0, 0.1, 110.0, -190.0, 10.0)],
    )
    def test_each_has_its_own(
        self, ahead_s: float, drift: float, monotonic_s: float, wall_s: float, slept_s: float
    ) -> None:
        async def look(seen: list[float]) -> None:
            async with Runtime(STORE) as runtime:
                clock = environment_here().clock
                await asyncio.sleep(100.0 - now_s())
                seen += [clock.monotonic(), (clock.wall_ms() - BEGAN_MS) / 1000]
                await clock.sleep(11.0)
                seen.append(now_s() - 100.0)
                await runtime.enqueue("any")

        async def main() -> tuple[list[float], int]:
            seen: list[float] = []
            async with Runtime(STORE) as beside:
                await Machine(lambda: look(seen), ahead_s=ahead_s, drift=drift).ended()
                (job,) = await beside.node.store.jobs.select(JobFilter(), limit=2)
            return seen, job.inserted_at - BEGAN_MS

        seen, inserted_ms = simulate(main).value

        assert seen == [pytest.approx(monotonic_s), pytest.approx(wall_s), pytest.approx(slept_s)]
        assert inserted_ms / 1000 == pytest.approx(100.0 + slept_s, abs=0.001)

    @pytest.mark.parametrize("ahead_s", [300.0, -300.0])
    def test_a_runtime_goes_by_the_stores_wall_clock(self, ahead_s: float) -> None:
        """As far as replies can tell it, which take 1 to 20 ms each way. Elsewhere it stands beside its store."""

        async def look(off_ms: list[float]) -> None:
            for url in (STORE, "memory://"):
                async with Runtime(url) as runtime:
                    for _ in range(3):
                        off_ms.append(runtime.node.parts.clock.wall_ms() - BEGAN_MS - now_s() * 1000)
                        await asyncio.sleep(100.0)
                        await runtime.enqueue("any")

        async def main() -> list[float]:
            off_ms: list[float] = []
            Network()
            await Machine(lambda: look(off_ms), ahead_s=ahead_s).ended()
            return off_ms

        off_ms = simulate(main).value

        assert len(off_ms) == 6
        assert max(map(abs, off_ms)) <= 21.0

    def test_a_clock_that_stands_still_is_refused(self) -> None:
        async def main() -> None:
            with pytest.raises(CallboardError, match="drift: expected more than -1"):
                Machine(main, drift=-1.0)

        simulate(main)


class TestNetwork:
    """What is refused, and that chance is the seed's."""

    async def test_outside_of_a_simulation_it_is_refused(self) -> None:
        with pytest.raises(CallboardError, match="within simulate"):
            Network()

    def test_a_second_one_is_refused(self) -> None:
        async def main() -> None:
            Network()
            with pytest.raises(CallboardError, match="has a Network already"):
                Network()

        simulate(main)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"loss": 1.5}, r"loss: expected a chance, from 0 to 1, found 1\.5"),
            ({"late": -0.1}, r"late: expected a chance, from 0 to 1, found -0\.1"),
            ({"delay_s": (2.0, 1.0)}, r"delay_s: expected seconds, \(at least, at most\), found \(2\.0, 1\.0\)"),
            ({"late_s": (-1.0, 1.0)}, r"late_s: expected seconds"),
            ({"timeout_s": 0}, r"timeout_s: expected more than 0 seconds, found 0"),
        ],
    )
    def test_what_cannot_be_is_refused(self, options: dict[str, Any], said: str) -> None:
        async def main() -> None:
            with pytest.raises(CallboardError, match=said):
                Network(**options)

        simulate(main)

    def test_processes_and_hash_seeds_do_not_matter(self) -> None:
        lines = [run_apart("tests.support.network_workload:NetworkWorkload(7).storm", hash_seed=seed) for seed in "01"]

        assert re.fullmatch(r"SIM seed=7 events=\d+ virtual_s=\d+\.\d{3} hash=[0-9a-f]{64}\n", lines[0])
        assert lines[0] == lines[1]
