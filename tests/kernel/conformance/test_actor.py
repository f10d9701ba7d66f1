"""What an actor may be and do, whatever else is promised."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import anyio
import anyio.to_thread
import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import ActorCrashed, ActorStopped
from callboard.kernel.intensity import Backoff
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Boom, Get, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


async def _first_start(spec: ChildSpec) -> BaseException | None:
    async with Supervisor([]) as sup:
        with pytest.raises(ActorCrashed) as caught:
            await sup.start_child(spec)
        assert sup.which_children() == []
        return caught.value.__cause__


async def test_a_constructor_that_raises_is_a_failed_start() -> None:
    class Picky(Actor):
        def __init__(self) -> None:
            raise ValueError("not like this")

    assert repr(await _first_start(ChildSpec(Picky, id="a"))) == "ValueError('not like this')"


async def test_a_factory_must_make_an_actor() -> None:
    cause = await _first_start(ChildSpec(dict, id="a"))  # type: ignore[arg-type]

    assert str(cause) == "the factory of 'a' must make an Actor, found dict"


async def test_a_function_may_be_the_factory() -> None:
    def make(first: object, *, second: object) -> Keeper:
        keeper = Keeper()
        keeper.seen = [first, second]
        return keeper

    async with Supervisor([ChildSpec(make, id="a", args=(1,), kwargs={"second": 2})]) as sup:
        assert await sup.ref("a").ask(Get()) == [1, 2]


async def test_an_actor_without_handlers_says_so() -> None:
    async with Supervisor([ChildSpec(Actor, id="a")]) as sup:
        with pytest.raises(ActorCrashed, match="Actor takes no messages: define receive or receive_batch"):
            await sup.ref("a").ask("hello")


STAGE: ContextVar[str] = ContextVar("stage", default="empty")


async def test_an_actor_runs_in_a_context_of_its_own() -> None:
    class Peeker(Actor):
        async def receive(self, message: object) -> object:
            found = STAGE.get()
            STAGE.set("the actor's")
            return found

    STAGE.set("the test's")
    async with Supervisor([ChildSpec(Peeker, id="a")]) as sup:
        assert await sup.ref("a").ask(1) == "empty"
        assert await sup.ref("a").ask(2) == "the actor's"
    assert STAGE.get() == "the test's"


class Modern(Actor):
    """Uses anyio in its handlers."""

    async def receive(self, message: object) -> object:
        match message:
            case "thread":
                return await anyio.to_thread.run_sync(lambda: "from a thread")
            case "limit":
                with anyio.move_on_after(0.001) as scope:
                    await anyio.sleep_forever()
                return scope.cancelled_caught
            case "crash in a group":
                async with anyio.create_task_group() as group:
                    group.start_soon(_fail)
            case asyncio.Event():
                message.set()
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep_forever)
        return None


async def _fail() -> None:
    raise ValueError("in the group")


async def test_handlers_may_use_anyio() -> None:
    async with Supervisor([ChildSpec(Modern, id="a")]) as sup:
        ref = sup.ref("a")

        assert await ref.ask("thread") == "from a thread"
        assert await ref.ask("limit") is True
        with pytest.raises(ActorCrashed) as caught:
            await ref.ask("crash in a group")

        assert repr(caught.value.__cause__) == "ValueError('in the group')"


async def test_a_handler_that_hangs_in_a_task_group_is_cancelled_with_it() -> None:
    async with Supervisor([ChildSpec(Modern, id="a", shutdown=0.01)]) as sup:
        begun = asyncio.Event()
        asked = asyncio.create_task(sup.ref("a").ask(begun))
        await begun.wait()

        await sup.stop()

        with pytest.raises(ActorCrashed, match="was ended while it handled"):
            await asked


async def test_a_message_is_not_lost_when_its_receiver_is_cancelled_as_it_wakes() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a")], observer=lambda event: None) as sup:
        ref = sup.ref("a")
        incarnation = sup.children["a"].incarnation
        assert incarnation is not None
        assert incarnation.task is not None

        assert ref.try_tell("delivered")
        incarnation.task.cancel()

        assert await ref.ask(Get()) == ["delivered"]
        assert sup.restarts == 1


async def test_leaving_does_not_wait_for_a_delayed_restart() -> None:
    clock = ManualClock()
    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a")],), kwargs={"max_restarts": 0})
    async with Supervisor([inner, ChildSpec(Keeper, id="b")], backoff=Backoff(), clock=clock) as sup:
        await sup.ref("inner/a").tell(Boom())
        await sup.ref("b").tell(Boom())
        await eventually(lambda: [c.state for c in sup.which_children() if c.restart_in_s] == ["parked", "restarting"])

    assert clock.next_timer() is None


async def test_stopping_a_child_that_waits_for_its_restart_is_immediate() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="a")], backoff=Backoff(), clock=clock) as sup:
        await sup.ref("a").tell(Boom())
        await eventually(lambda: sup.which_children()[0].state == "restarting")

        await sup.stop_child("a")

        assert sup.which_children() == []
        assert clock.next_timer() is None


async def test_two_may_stop_the_same_child_while_it_starts() -> None:
    gate = asyncio.Event()

    class Gated(Keeper):
        async def started(self) -> None:
            await gate.wait()

    async with Supervisor([]) as sup:
        start = asyncio.create_task(sup.start_child(ChildSpec(Gated, id="a")))
        await eventually(lambda: [child.state for child in sup.which_children()] == ["starting"])
        stops = [asyncio.create_task(sup.stop_child("a")) for _ in range(2)]
        await eventually(lambda: [child.state for child in sup.which_children()] == ["stopping"])

        gate.set()
        await asyncio.gather(*stops)
        with pytest.raises(ActorStopped, match="stopped while it started"):
            await start

        assert sup.which_children() == []


def test_a_loop_that_ends_takes_a_forgotten_tree_along() -> None:
    seen: list[Supervisor] = []

    async def forget() -> None:
        inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a")],))
        sup = Supervisor([inner, ChildSpec(Keeper, id="b")], observer=lambda event: None)
        await sup.__aenter__()
        seen.append(sup)

    asyncio.run(forget())

    assert len(seen) == 1
