"""Promise 4: an ask carries deadline and call chain; each way to fail is told apart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.envelope import Failure, Query
from callboard.kernel.errors import ActorCrashed, ActorStopped, AskCycle, AskTimeout, CallboardError
from callboard.kernel.ref import Ref
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Boom, Get, Hold, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


@dataclass(frozen=True, slots=True)
class Length(Query[int]):
    """How long is it?"""

    text: str


class Measurer(Actor):
    async def receive(self, message: object) -> object:
        match message:
            case Length(text):
                return len(text)
        return None


async def test_a_query_is_answered_with_its_type() -> None:
    async with Supervisor([ChildSpec(Measurer, id="measurer")]) as sup:
        length: int = await sup.ref("measurer").ask(Length("four"))

        assert length == 4


async def _held(ref: Ref) -> Hold:
    hold = Hold.new()
    await ref.tell(hold)
    await hold.begun.wait()
    return hold


async def test_an_ask_that_expires_in_the_mailbox_is_never_handled() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="keeper")], clock=clock) as sup:
        ref = sup.ref("keeper")
        hold = await _held(ref)
        asked = asyncio.create_task(ref.ask("late", timeout=1.0))
        await asyncio.sleep(0)

        clock.advance(1.1)
        with pytest.raises(AskTimeout) as caught:
            await asked
        hold.release.set()

        assert caught.value.outcome == "not_delivered"
        assert await ref.ask(Get()) == []
        assert sup.which_children()[0].skipped == 1


async def test_an_ask_that_expires_in_the_handler_may_have_been_handled() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="keeper")], clock=clock) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        asked = asyncio.create_task(ref.ask(hold, timeout=1.0))
        await hold.begun.wait()

        clock.advance(1.1)
        with pytest.raises(AskTimeout) as caught:
            await asked
        hold.release.set()

        assert caught.value.outcome == "unknown"
        assert await ref.ask("and it goes on") == "and it goes on"


async def test_a_deadline_that_passed_while_the_loop_was_busy_is_seen_before_handling() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="keeper")], clock=clock) as sup:
        ref = sup.ref("keeper")
        hold = await _held(ref)
        asked = asyncio.create_task(ref.ask("late", timeout=0.01))
        await asyncio.sleep(0)

        clock.advance(0.02)  # past the deadline, before the next sweep
        hold.release.set()
        with pytest.raises(AskTimeout) as caught:
            await asked

        assert caught.value.outcome == "not_delivered"
        assert await ref.ask(Get()) == []


async def test_an_abandoned_ask_is_skipped_and_counted() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper")]) as sup:
        ref = sup.ref("keeper")
        hold = await _held(ref)
        asked = asyncio.create_task(ref.ask("abandoned"))
        await eventually(lambda: sup.which_children()[0].queue_length == 1)

        asked.cancel()
        await asyncio.wait([asked])
        hold.release.set()

        assert await ref.ask(Get()) == []
        assert sup.which_children()[0].skipped == 1


async def test_a_crash_reaches_the_asker_with_its_cause() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper")]) as sup:
        with pytest.raises(ActorCrashed, match="'keeper' crashed: ValueError: no such luck") as caught:
            await sup.ref("keeper").ask(Boom("no such luck"))

        assert isinstance(caught.value.__cause__, ValueError)


async def test_an_ask_of_a_stopped_actor_is_never_handled() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper")]) as sup:
        ref = sup.ref("keeper")
        await sup.stop_child("keeper")

        with pytest.raises(ActorStopped):
            await ref.ask("too late")


async def test_what_waits_when_an_actor_stops_for_good_is_refused() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=1)]) as sup:
        ref = sup.ref("keeper")
        hold = await _held(ref)
        in_the_box = asyncio.create_task(ref.ask("in the box"))
        await asyncio.sleep(0)
        before_the_box = asyncio.create_task(ref.ask("before the box"))
        await asyncio.sleep(0)
        stop = asyncio.create_task(sup.stop_child("keeper"))
        await asyncio.sleep(0)

        hold.release.set()
        await stop

        for asked in (in_the_box, before_the_box):
            with pytest.raises(ActorStopped):
                await asked


class Refuser(Actor):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def receive(self, message: object) -> object:
        return Failure(self.error)


class NotToday(Exception):
    pass


async def test_a_refusal_raises_that_very_error_and_crashes_nobody() -> None:
    error = NotToday("come back tomorrow")
    async with Supervisor([ChildSpec(Refuser, id="refuser", args=(error,))]) as sup:
        with pytest.raises(NotToday) as caught:
            await sup.ref("refuser").ask("please")

        assert caught.value is error
        assert sup.restarts == 0


async def test_a_refused_tell_leaves_a_dead_letter() -> None:
    async with Supervisor([ChildSpec(Refuser, id="refuser", args=(NotToday(),))]) as sup:
        await sup.ref("refuser").tell("please")

        await eventually(lambda: sup.dead_letters.count == 1)
        letter = sup.dead_letters.recent[0]
        assert (letter.path, letter.message, letter.reason) == ("refuser", "please", "refused: NotToday")


@dataclass(frozen=True, slots=True)
class Via:
    """Ask along the way, then give the last answer back; the name of what was raised on the way instead."""

    way: tuple[str, ...]


class Router(Actor):
    async def receive(self, message: object) -> object:
        if not isinstance(message, Via) or not message.way:
            return message
        first, *rest = message.way
        try:
            return await self.context.ref(first).ask(Via(tuple(rest)), timeout=None)
        except CallboardError as error:
            return error


@pytest.mark.parametrize(
    ("way", "chain"),
    [
        (("a", "a"), ("a", "a")),
        (("a", "b", "a"), ("a", "b", "a")),
        (("a", "b", "c", "b"), ("a", "b", "c", "b")),
    ],
    ids=" -> ".join,
)
async def test_a_cycle_of_asks_is_refused_at_once(way: tuple[str, ...], chain: tuple[str, ...]) -> None:
    async with Supervisor([ChildSpec(Router, id=id) for id in "abc"]) as sup:
        first, *rest = way

        answer = await sup.ref(first).ask(Via(tuple(rest)), timeout=None)

        assert isinstance(answer, AskCycle)
        assert answer.chain == chain


async def test_asking_the_same_actor_twice_in_turn_is_no_cycle() -> None:
    async with Supervisor([ChildSpec(Router, id=id) for id in "abc"]) as sup:
        for way in (("b", "c"), ("c", "b"), ("b",)):
            answer = await sup.ref("a").ask(Via(way))

            assert answer == Via(())


class AsksItselfWhileItStarts(Actor):
    async def started(self) -> None:
        await self.context.ref().ask("ready?", timeout=None)


async def test_an_actor_cannot_ask_itself_while_it_starts() -> None:
    spec = ChildSpec(AsksItselfWhileItStarts, id="eager")
    async with Supervisor([]) as sup:
        with pytest.raises(ActorCrashed) as caught:
            await sup.start_child(spec)

        assert isinstance(caught.value.__cause__, AskCycle)


class Delegator(Actor):
    """Starts a task that asks this very actor, which does not wait for it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[object] | None = None

    async def receive(self, message: object) -> object:
        if message == "delegate":
            ref = self.context.ref()
            self.task = asyncio.create_task(ref.ask("from the task"))
            await asyncio.sleep(0)
            return self.task
        return message


async def test_a_task_that_a_handler_started_may_ask_its_actor() -> None:
    async with Supervisor([ChildSpec(Delegator, id="delegator")]) as sup:
        task = await sup.ref("delegator").ask("delegate")

        assert isinstance(task, asyncio.Task)
        assert await task == "from the task"
