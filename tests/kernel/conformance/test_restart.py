"""Promise 6: a restart loses nothing but the message in hand, and only if the child spec says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec, InFlight
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import ActorCrashed, ActorStopped
from callboard.kernel.exits import Exit
from callboard.kernel.intensity import Backoff
from callboard.kernel.restarts import Restart
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Boom, Chronicler, Diary, Finish, Get, Hold, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


async def test_waiting_messages_survive_a_crash_in_their_order() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a", mailbox=5)]) as sup:
        ref = sup.ref("a")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell(Boom())
        for n in range(4):
            await ref.tell(n)
        before_the_box = [asyncio.create_task(ref.tell(n)) for n in range(4, 8)]
        await asyncio.sleep(0)

        hold.release.set()
        await asyncio.gather(*before_the_box)

        assert await ref.ask(Get()) == list(range(8))
        assert sup.restarts == 1


async def test_an_ask_that_waits_is_answered_by_the_next_incarnation() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a")]) as sup:
        ref = sup.ref("a")

        crashed, answered = await asyncio.gather(ref.ask(Boom()), ref.ask("after"), return_exceptions=True)

        assert isinstance(crashed, ActorCrashed)
        assert answered == "after"


async def test_refs_made_before_the_start_and_before_a_restart_stay_valid() -> None:
    class Early(Keeper):
        async def started(self) -> None:
            await self.context.ref("late").tell("sent before you started")

    async with Supervisor([ChildSpec(Early, id="early"), ChildSpec(Keeper, id="late")]) as sup:
        late = sup.ref("late")

        assert await late.ask(Get()) == ["sent before you started"]
        with pytest.raises(ActorCrashed):
            await late.ask(Boom())
        assert await late.ask(Get()) == []


async def test_refs_to_children_of_a_restarted_supervisor_stay_valid() -> None:
    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a"), ChildSpec(Keeper, id="b")],))
    async with Supervisor([ChildSpec(Keeper, id="first"), inner], strategy="one_for_all") as sup:
        ref = sup.ref("inner/b")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("kept")
        await sup.ref("first").tell(Boom())
        await eventually(lambda: sup.which_children()[1].state == "stopping")
        hold.release.set()

        assert await ref.ask(Get()) == ["kept"]
        assert sup.restarts == 1


async def test_a_new_incarnation_starts_only_when_the_old_one_is_closed() -> None:
    diary = Diary()
    gate = asyncio.Event()

    class SlowToClose(Chronicler):
        async def stopping(self, exit: Exit) -> None:
            diary.write("closing")
            await gate.wait()
            await super().stopping(exit)

    async with Supervisor([ChildSpec(SlowToClose, id="a", args=(diary, "a"))]) as sup:
        await sup.ref("a").tell(Boom())
        await eventually(lambda: diary.lines == ["start a", "closing"])
        await sup.ref("a").tell("for the next one")
        for _ in range(10):
            await asyncio.sleep(0)
        assert diary.take() == ["start a", "closing"]

        gate.set()

        assert await sup.ref("a").ask(Get()) == ["for the next one"]
        assert diary.take() == ["stop a: Crashed", "start a"]


class Unlucky(Keeper):
    """Crashes at "bad", the first `times` times of all its incarnations."""

    def __init__(self, attempts: list[object], times: int) -> None:
        super().__init__()
        self.attempts = attempts
        self.times = times

    async def receive(self, message: object) -> object:
        if message == "bad":
            self.attempts.append(message)
            if len(self.attempts) <= self.times:
                raise ValueError("bad")
        return await super().receive(message)


@pytest.mark.parametrize(
    ("in_flight", "times", "attempts", "handled"),
    [("drop", 1, 1, False), ("redeliver", 1, 2, True), ("redeliver", 2, 2, False), ("quarantine", 1, 1, False)],
)
async def test_the_message_in_hand_meets_the_fate_in_the_spec(
    in_flight: InFlight, times: int, attempts: int, handled: bool
) -> None:
    tried: list[object] = []
    spec = ChildSpec(Unlucky, id="a", args=(tried, times), in_flight=in_flight)
    async with Supervisor([spec]) as sup:
        ref = sup.ref("a")

        bad, good = await asyncio.gather(ref.ask("bad"), ref.ask("good"), return_exceptions=True)

        assert len(tried) == attempts
        assert good == "good"
        assert await ref.ask(Get()) == (["bad", "good"] if handled else ["good"])
        if handled:
            assert bad == "bad"
        else:
            assert isinstance(bad, ActorCrashed)
            kept = sup.dead_letters.quarantined if in_flight == "quarantine" else sup.dead_letters.recent
            assert [letter.message for letter in kept] == ["bad"]


class Batcher(Actor):
    def __init__(self, seen: list[list[object]]) -> None:
        self.seen = seen

    async def receive_batch(self, messages: Sequence[object]) -> Sequence[object]:
        self.seen.append(list(messages))
        if len(self.seen) == 1:
            raise ValueError("the first batch")
        return messages


async def test_a_whole_batch_is_redelivered_in_order() -> None:
    seen: list[list[object]] = []
    async with Supervisor([ChildSpec(Batcher, id="a", args=(seen,), in_flight="redeliver")]) as sup:
        ref = sup.ref("a")

        answers = await asyncio.gather(*[ref.ask(n) for n in range(5)])

        assert answers == [0, 1, 2, 3, 4]
        assert seen == [[0, 1, 2, 3, 4]] * 2


async def test_the_mailbox_takes_messages_while_a_restart_is_delayed_and_stays_bounded() -> None:
    clock = ManualClock()
    spec = ChildSpec(Keeper, id="a", mailbox=3)
    async with Supervisor([spec], backoff=Backoff(initial=8.0), clock=clock) as sup:
        ref = sup.ref("a")
        with pytest.raises(ActorCrashed):
            await ref.ask(Boom())
        await eventually(lambda: sup.which_children()[0].state == "restarting")

        assert [ref.try_tell(n) for n in range(4)] == [True, True, True, False]
        clock.advance(8.0)

        assert await ref.ask(Get()) == [0, 1, 2]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_children_added_later_come_back_with_their_supervisor_unless_temporary(restart: Restart) -> None:
    sups: list[Supervisor] = []

    class Adder(Keeper):
        async def started(self) -> None:
            sups.append(self.context.parent)

    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Adder, id="adder")],), kwargs={"max_restarts": 0})
    async with Supervisor([inner]) as sup:
        added = await sups[0].start_child(ChildSpec(Keeper, id="added", restart=restart))
        assert await added.ask(1) == 1

        await sup.ref("inner/adder").tell(Boom())
        await eventually(lambda: len(sups) == 2)

        if restart == "temporary":
            with pytest.raises(ActorStopped):
                await added.ask(2)
        else:
            assert await added.ask(2) == 2


async def test_a_child_added_again_under_its_old_id_is_reached_by_the_old_ref() -> None:
    async with Supervisor([]) as sup:
        first = await sup.start_child(ChildSpec(Keeper, id="a"))
        await first.tell("to the first")
        await sup.stop_child("a")
        with pytest.raises(ActorStopped):
            await first.tell("to nobody")

        await sup.start_child(ChildSpec(Keeper, id="a"))

        await first.tell("to the second")
        assert await first.ask(Get()) == ["to the second"]


async def test_an_id_is_taken_while_its_child_lives() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a", restart="temporary")]) as sup:
        with pytest.raises(ValueError, match="'a' taken"):
            await sup.start_child(ChildSpec(Keeper, id="a"))
        await sup.ref("a").tell(Finish())
        await eventually(lambda: sup.which_children()[0].state == "stopped")

        ref = await sup.start_child(ChildSpec(Keeper, id="a"))

        assert await ref.ask("free again") == "free again"


async def test_a_timer_of_the_old_incarnation_does_not_reach_the_new_one() -> None:
    clock = ManualClock()

    class Ticker(Keeper):
        async def started(self) -> None:
            self.context.send_after(10.0, "tick")

    async with Supervisor([ChildSpec(Ticker, id="a")], clock=clock) as sup:
        clock.advance(5.0)
        with pytest.raises(ActorCrashed):
            await sup.ref("a").ask(Boom())
        await sup.ref("a").ask("started again")

        clock.advance(5.0)
        assert await sup.ref("a").ask(Get()) == ["started again"]
        clock.advance(5.0)
        assert await sup.ref("a").ask(Get()) == ["started again", "tick"]


async def test_a_handler_that_awaits_what_others_cancelled_has_crashed_and_comes_back() -> None:
    class Joiner(Keeper):
        async def receive(self, message: object) -> object:
            if isinstance(message, asyncio.Future):
                return await message
            return await super().receive(message)

    async with Supervisor([ChildSpec(Joiner, id="a")]) as sup:
        future = asyncio.get_running_loop().create_future()
        asked = asyncio.create_task(sup.ref("a").ask(future))
        await eventually(lambda: sup.which_children()[0].queue_length == 0)

        future.cancel()
        with pytest.raises(ActorCrashed):
            await asked

        assert await sup.ref("a").ask("back") == "back"
        assert sup.restarts == 1
