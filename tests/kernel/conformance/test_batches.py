"""Promise 8: an actor may take what has gathered at once; the answers go out when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.envelope import Failure
from callboard.kernel.errors import ActorCrashed, AskTimeout
from callboard.kernel.supervisor import Supervisor
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


class Store(Actor):
    """Commits a batch at a time, when the test lets it."""

    max_batch = 100

    def __init__(self, commits: list[list[object]], gate: asyncio.Semaphore) -> None:
        self.commits = commits
        self.gate = gate

    async def receive_batch(self, messages: Sequence[object]) -> Sequence[object]:
        self.commits.append(list(messages))
        await self.gate.acquire()
        if "torn" in messages:
            raise OSError("disk gone")
        if "short" in messages:
            return []
        return [Failure(KeyError(message)) if message == "refused" else f"{message} stored" for message in messages]


def _store(commits: list[list[object]], gate: asyncio.Semaphore) -> ChildSpec:
    return ChildSpec(Store, id="store", args=(commits, gate))


async def test_while_one_batch_is_committed_the_next_gathers() -> None:
    commits: list[list[object]] = []
    gate = asyncio.Semaphore(0)
    async with Supervisor([_store(commits, gate)]) as sup:
        ref = sup.ref("store")
        alone = asyncio.create_task(ref.ask("alone"))
        await eventually(lambda: len(commits) == 1)
        others = [asyncio.create_task(ref.ask(n)) for n in range(250)]
        await eventually(lambda: sup.which_children()[0].queue_length == 250)

        assert not alone.done()
        for _ in range(4):
            gate.release()

        assert await alone == "alone stored"
        assert await asyncio.gather(*others) == [f"{n} stored" for n in range(250)]
        assert [len(batch) for batch in commits] == [1, 100, 100, 50]


async def test_nobody_is_answered_before_the_commit() -> None:
    commits: list[list[object]] = []
    gate = asyncio.Semaphore(0)
    async with Supervisor([_store(commits, gate)]) as sup:
        asked = [asyncio.create_task(sup.ref("store").ask(n)) for n in range(3)]
        await eventually(lambda: sum(len(batch) for batch in commits) >= 1)
        for _ in range(10):
            await asyncio.sleep(0)

        assert not any(task.done() for task in asked)
        for _ in range(3):
            gate.release()
        await asyncio.gather(*asked)


async def test_a_failure_in_the_list_refuses_that_ask_alone() -> None:
    commits: list[list[object]] = []
    gate = asyncio.Semaphore(9)
    async with Supervisor([_store(commits, gate)]) as sup:
        ref = sup.ref("store")

        first, second, third = await asyncio.gather(
            ref.ask("first"), ref.ask("refused"), ref.ask("third"), return_exceptions=True
        )

        assert (first, third) == ("first stored", "third stored")
        assert isinstance(second, KeyError)
        assert len(commits) == 1
        assert sup.restarts == 0


async def test_a_batch_that_raises_crashes_with_all_its_asks() -> None:
    gate = asyncio.Semaphore(9)
    async with Supervisor([_store([], gate)]) as sup:
        ref = sup.ref("store")

        answers = await asyncio.gather(ref.ask("fine"), ref.ask("torn"), return_exceptions=True)

        assert [type(answer) for answer in answers] == [ActorCrashed, ActorCrashed]
        assert await ref.ask("again") == "again stored"


async def test_too_few_answers_are_a_crash_that_says_so() -> None:
    async with Supervisor([_store([], asyncio.Semaphore(9))]) as sup:
        with pytest.raises(ActorCrashed, match="must give 1 answers, one for each message; found 0"):
            await sup.ref("store").ask("short")


async def test_an_ask_that_expired_is_left_out_of_its_batch() -> None:
    clock = ManualClock()
    commits: list[list[object]] = []
    gate = asyncio.Semaphore(0)
    async with Supervisor([_store(commits, gate)], clock=clock) as sup:
        ref = sup.ref("store")
        await ref.tell("first")
        await eventually(lambda: len(commits) == 1)
        late = asyncio.create_task(ref.ask("late", timeout=1.0))
        on_time = asyncio.create_task(ref.ask("on time", timeout=9.0))
        await eventually(lambda: sup.which_children()[0].queue_length == 2)

        clock.advance(1.1)
        gate.release()
        gate.release()

        with pytest.raises(AskTimeout):
            await late
        assert await on_time == "on time stored"
        assert commits == [["first"], ["on time"]]
