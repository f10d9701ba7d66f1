"""A leader in virtual time: it gets its role, keeps it, gives it up, and is never two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard import Actor
from callboard.actors.duty import START_S
from callboard.actors.tenure import Tenure
from callboard.kernel.clock import Clock
from callboard.runtime.environment import environment_here
from callboard.storage.errors import TermOver
from callboard.storage.memory.driver import MemoryStore
from callboard.storage.role import RoleRow, Term
from callboard.testing import Machine, simulate
from tests.support.leaders import LEASE_S, ROLE, Book, Keeper, LeadingNode

LR = LEASE_S / 3
SEEDS = range(20)


class Cluster:
    """Nodes on one store in memory, each a machine of the simulation."""

    def __init__(self) -> None:
        self.clock: Clock = environment_here().clock
        self.board = MemoryStore(clock=self.clock)
        self.book = Book()
        self.nodes: list[LeadingNode] = []
        self.machines: list[Machine] = []
        self._ends: list[asyncio.Event] = []

    def start(self, factory: Callable[..., Actor] = Keeper, *, lease_s: float = LEASE_S) -> LeadingNode:
        """A further node."""
        number = len(self.nodes) + 1
        node = LeadingNode(
            self.board.another(), self.clock, number=number, book=self.book, factory=factory, lease_s=lease_s
        )
        end = asyncio.Event()

        async def live() -> None:
            async with node.root:
                await end.wait()

        self.nodes.append(node)
        self._ends.append(end)
        self.machines.append(Machine(live))
        return node

    async def stop(self, node: LeadingNode) -> None:
        """Stop it in order."""
        index = self.nodes.index(node)
        self._ends[index].set()
        await self.machines[index].ended()

    def machine(self, node: LeadingNode) -> Machine:
        """Where it runs."""
        return self.machines[self.nodes.index(node)]

    async def close(self) -> None:
        """Stop all that are up."""
        for node, machine in zip(self.nodes, self.machines, strict=True):
            if machine.is_up:
                await self.stop(node)

    async def leader(self, within_s: float = 60.0) -> LeadingNode:
        """The one that leads, once one does."""
        ends = self.clock.monotonic() + within_s
        while self.clock.monotonic() <= ends:
            up = [node for node, machine in zip(self.nodes, self.machines, strict=True) if machine.is_up]
            leads = [node for node in up if ROLE in node.parts.seats and node.leads]
            assert len(leads) <= 1
            if leads:
                return leads[0]
            await self.clock.sleep(0.01)
        raise AssertionError(f"nobody leads after {within_s} s")

    def up(self) -> set[bytes]:
        """Boot ids of the machines that have not crashed."""
        return {node.boot_id for node, machine in zip(self.nodes, self.machines, strict=True) if machine.is_up}

    async def row(self) -> RoleRow:
        """The role in the store."""
        [row] = await self.board.roles.list()
        return row


def run(play: Callable[[Cluster], Awaitable[None]], *, seed: int = 0) -> None:
    async def main() -> None:
        cluster = Cluster()
        try:
            await play(cluster)
        finally:
            await cluster.close()

    simulate(main, seed=seed)


class TestGettingTheRole:
    def test_the_first_to_ask_leads_and_the_others_do_not(self) -> None:
        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                cluster.start()
            leader = await cluster.leader()
            await cluster.clock.sleep(10 * LEASE_S)

            assert await cluster.leader() is leader
            assert cluster.book.on_duty == [Term(ROLE, leader.boot_id, 1)]
            assert (await cluster.row()).term == Term(ROLE, leader.boot_id, 1)

        for seed in SEEDS:
            run(play, seed=seed)

    def test_five_nodes_race_200_times_and_each_term_has_one_holder(self) -> None:
        """F50: each round the leader's machine crashes; the four that are left, and a new one, race for the role."""

        async def play(cluster: Cluster) -> None:
            for _ in range(5):
                cluster.start()
            for _ in range(200):
                leader = await cluster.leader()
                cluster.machine(leader).crash()
                crashed = cluster.clock.monotonic()
                cluster.start()
                await cluster.leader()
                assert cluster.clock.monotonic() - crashed <= LEASE_S + LR

            numbers = cluster.book.numbers
            assert numbers == list(range(1, 202))
            assert len({term.number for _, term in cluster.book.entries}) == len(
                {term for _, term in cluster.book.entries}
            )

        run(play)

    def test_a_vacant_role_is_taken_within_two_campaigns(self) -> None:
        async def play(cluster: Cluster) -> None:
            await cluster.board.roles.campaign([ROLE], holder=b"x" * 16, lease_ms=1)
            began = cluster.clock.monotonic()
            for _ in range(5):
                cluster.start()
            await cluster.leader()
            assert cluster.clock.monotonic() - began <= 2 * LR

        for seed in SEEDS:
            run(play, seed=seed)


class TestAsALimitOfOne:
    def test_f53_its_holder_dies_a_hundred_times_and_it_is_never_held_twice_nor_leaked(self) -> None:
        """A crash releases nothing: the lease does, and it is a row that no count can drift away from."""

        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                cluster.start()
            for _ in range(100):
                leader = await cluster.leader()
                at_once = [term for term in cluster.book.on_duty if term.holder in cluster.up()]
                assert at_once == [(await cluster.row()).term]
                cluster.machine(leader).crash()
                cluster.start()
            last = await cluster.leader()
            assert cluster.book.numbers == list(range(1, 102))
            for node in cluster.nodes:
                if cluster.machine(node).is_up and node is not last:
                    await cluster.stop(node)
            await cluster.stop(last)
            assert (await cluster.row()).holder is None

        run(play)


class TestLosingTheRole:
    def test_a_crashed_leader_is_followed_within_a_lease_and_a_third(self) -> None:
        """F47 in virtual time, at any moment of the lease."""

        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                cluster.start()
            for round in range(20):
                leader = await cluster.leader()
                await cluster.clock.sleep(round * LR / 20)
                cluster.machine(leader).crash()
                crashed = cluster.clock.monotonic()
                cluster.start()
                await cluster.leader()
                assert cluster.clock.monotonic() - crashed <= LEASE_S + LR

        run(play)

    def test_a_stop_hands_the_role_over_at_once(self) -> None:
        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                cluster.start()
            leader = await cluster.leader()
            await cluster.stop(leader)
            stopped = cluster.clock.monotonic()
            await cluster.leader()

            assert cluster.clock.monotonic() - stopped <= 0.2
            assert cluster.book.entries[:2] == [
                ("began", Term(ROLE, leader.boot_id, 1)),
                ("ended", Term(ROLE, leader.boot_id, 1)),
            ]

        for seed in SEEDS:
            run(play, seed=seed)

    def test_a_leader_that_was_frozen_for_three_leases_finds_its_term_over_before_it_writes(self) -> None:
        """F48 in virtual time: whatever runs first when it goes on, the fence lets nothing through."""
        tries: list[bool] = []

        class Writer(Keeper):
            """Tries to write again and again, in no order with the leader's own timers."""

            async def started(self) -> None:
                await super().started()
                self._task = asyncio.create_task(self._write())

            async def stopping(self, exit: object) -> None:
                self._task.cancel()
                await super().stopping(exit)

            async def _write(self) -> None:
                while True:
                    try:
                        self._tenure.fence()
                    except TermOver:
                        tries.append(False)
                    else:
                        tries.append(True)
                    await asyncio.sleep(0.01)

        async def play(cluster: Cluster) -> None:
            first = cluster.start(Writer)
            await cluster.leader()
            cluster.start()
            cluster.machine(first).freeze()
            await cluster.clock.sleep(3 * LEASE_S)
            assert (await cluster.row()).holder == cluster.nodes[1].boot_id
            tries.clear()
            cluster.machine(first).thaw()
            await cluster.clock.sleep(LEASE_S)

            assert True not in tries
            assert not first.leads
            assert cluster.book.on_duty == [Term(ROLE, cluster.nodes[1].boot_id, 2)]

        for seed in SEEDS:
            run(play, seed=seed)

    def test_a_leader_without_its_store_steps_down_at_its_trust_deadline_and_says_so(self) -> None:
        """F49 in virtual time: it goes on otherwise, and leads again when the store is back."""

        async def play(cluster: Cluster) -> None:
            node = cluster.start()
            await cluster.leader()
            node.line.is_cut = True
            cut = cluster.clock.monotonic()
            while node.leads:
                await cluster.clock.sleep(0.001)
            assert cluster.clock.monotonic() - cut <= 0.9 * LEASE_S
            await cluster.clock.sleep(LEASE_S * 0.1 + 0.001)
            assert cluster.book.on_duty == []  # before the lease was over
            node.line.is_cut = False
            assert await cluster.leader() is node
            assert cluster.book.numbers == [1, 2]
            assert node.said.lines == [
                "info: role is held here",
                "warning: the store does not answer for a role",
                "error: role could not be renewed in time; its duty stops",
                "info: the store answers again for a role",
                "info: role is held here",
            ]

        run(play)

    @pytest.mark.parametrize("verb", ["campaign", "renew", "resign"])
    def test_a_lost_answer_leaves_no_role_without_a_holder_for_long(self, verb: str) -> None:
        async def play(cluster: Cluster) -> None:
            node = cluster.start()
            node.line.loses = verb
            if verb != "resign":
                await cluster.leader(within_s=LR)
                await cluster.clock.sleep(3 * LEASE_S)
                assert cluster.book.on_duty == [Term(ROLE, node.boot_id, 1)]
                return
            other = cluster.start()
            await cluster.leader()
            await cluster.stop(node)
            stopped = cluster.clock.monotonic()
            assert await cluster.leader() is other
            assert cluster.clock.monotonic() - stopped <= 0.2

        run(play)

    def test_a_store_that_is_slow_is_left_time_for_the_last_words(self) -> None:
        """A campaign that is under way when its node stops is granted yet, and given back."""

        async def play(cluster: Cluster) -> None:
            node = cluster.start(lease_s=30.0)
            node.line.slow_s = 5.0
            await cluster.clock.sleep(1.0)
            await cluster.stop(node)
            row = await cluster.row()
            assert (row.holder, row.number) == (None, 1)

        run(play)

    def test_a_term_that_ended_here_is_not_begun_again(self) -> None:
        """The lease outlives the trust, so the store still takes the node for the holder when it answers again."""

        async def play(cluster: Cluster) -> None:
            node = cluster.start()
            await cluster.leader()
            await cluster.clock.sleep(LR / 2)
            node.line.is_cut = True
            while node.leads:
                await cluster.clock.sleep(0.001)
            node.line.is_cut = False
            assert (await cluster.row()).number == 1
            assert await cluster.leader() is node
            assert cluster.book.numbers == [1, 2]

        run(play)


class TestTheDuty:
    def test_a_duty_that_does_not_start_gives_the_role_to_another(self) -> None:
        """F51: and within a lease, since the other hears of it at once."""

        class Unable(Actor):
            def __init__(self, tenure: Tenure, book: Book) -> None:
                raise OSError("no room here")

        async def play(cluster: Cluster) -> None:
            unable = cluster.start(Unable)
            await cluster.clock.sleep(0.01)
            able = cluster.start()
            assert await cluster.leader(within_s=LEASE_S) is able
            assert unable.seat.problem == "it did not start: OSError: no room here"
            await cluster.clock.sleep(5 * LEASE_S)
            assert await cluster.leader() is able

        for seed in SEEDS:
            run(play, seed=seed)

    def test_a_duty_that_never_comes_to_start_is_no_duty_done(self) -> None:
        class Hanging(Keeper):
            async def started(self) -> None:
                await asyncio.Event().wait()

        async def play(cluster: Cluster) -> None:
            hanging = cluster.start(Hanging)
            await cluster.clock.sleep(0.01)
            able = cluster.start()
            assert await cluster.leader(within_s=START_S + 2.0) is able
            assert hanging.seat.problem == "it did not start within 30 s"
            assert cluster.book.numbers == [2]

        run(play)

    def test_a_duty_that_crashes_without_end_gives_the_role_to_another(self) -> None:
        async def play(cluster: Cluster) -> None:
            first = cluster.start()
            await cluster.leader()
            second = cluster.start()
            path = first.duty_path
            while first.leads:
                first.root.ref(path).try_tell(ValueError("again"))
                await cluster.clock.sleep(0.01)
            assert await cluster.leader(within_s=0.2) is second
            assert first.seat.problem is not None
            assert "ValueError: again" in first.seat.problem

        run(play)

    def test_where_nobody_else_is_it_is_tried_again_after_a_pause(self) -> None:
        starts: list[float] = []

        class LateBloomer(Keeper):
            def __init__(self, tenure: Tenure, book: Book) -> None:
                super().__init__(tenure, book)
                starts.append(self.now)
                if len(starts) <= 8:  # two times as often as a duty is started before it is given up
                    raise OSError("not yet")

            now = 0.0

        async def play(cluster: Cluster) -> None:
            async def tick() -> None:
                while True:
                    LateBloomer.now = cluster.clock.monotonic()
                    await cluster.clock.sleep(0.01)

            ticking = asyncio.create_task(tick())
            cluster.start(LateBloomer)
            await cluster.leader()
            ticking.cancel()
            assert starts[4] - starts[3] >= LEASE_S / 2 - 0.02
            assert starts[8] - starts[7] >= LEASE_S - 0.02  # the pause grows

        run(play)

    def test_a_duty_that_heeds_no_cancellation_is_left_behind_with_a_fence_that_holds(self) -> None:
        class Stubborn(Keeper):
            async def receive(self, message: Any) -> object:
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        with pytest.raises(TermOver):
                            self._tenure.fence()
                        refused.append(self._tenure.term)

        refused: list[Term] = []

        async def play(cluster: Cluster) -> None:
            node = cluster.start(Stubborn)
            await cluster.leader()
            node.root.ref(node.duty_path).try_tell("hang")
            await cluster.clock.sleep(0.01)
            node.line.is_cut = True
            other = cluster.start()
            while node.leads:
                await cluster.clock.sleep(0.01)
            assert await cluster.leader(within_s=LEASE_S) is other
            await cluster.clock.sleep(3.0)
            assert refused
            assert set(refused) == {Term(ROLE, node.boot_id, 1)}

        run(play)
