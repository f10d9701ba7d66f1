"""Promise 9: stopping has two phases, each with a deadline; nothing can hold the exit up."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import ActorCrashed
from callboard.kernel.exits import Exit, Killed, Shutdown
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.system import ChildEvent
from tests.kernel.cast import Boom, Chronicler, Diary, Finish, Hold, Keeper, Stubborn
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


class Flusher(Keeper):
    """Writes what it has seen into `flushed` when it is stopped."""

    def __init__(self, flushed: list[object], exits: list[Exit]) -> None:
        super().__init__()
        self.flushed = flushed
        self.exits = exits

    async def stopping(self, exit: Exit) -> None:
        await anyio.lowlevel.checkpoint()
        self.flushed += self.seen
        self.exits.append(exit)


async def test_a_stopped_actor_finishes_its_message_and_flushes() -> None:
    flushed: list[object] = []
    exits: list[Exit] = []
    async with Supervisor([ChildSpec(Flusher, id="a", args=(flushed, exits))]) as sup:
        ref = sup.ref("a")
        await ref.ask("kept")
        hold = Hold.new()
        asked = asyncio.create_task(ref.ask(hold))
        await hold.begun.wait()
        stop = asyncio.create_task(sup.stop())
        await eventually(lambda: sup.which_children()[0].state == "stopping")

        hold.release.set()
        await stop

        assert await asked is hold
        assert flushed == ["kept"]
        assert exits == [Shutdown()]


async def test_an_actor_that_does_not_end_in_time_is_cancelled_and_still_cleans_up() -> None:
    clock = ManualClock()
    flushed: list[object] = []
    exits: list[Exit] = []
    async with Supervisor([ChildSpec(Flusher, id="a", args=(flushed, exits), shutdown=3.0)], clock=clock) as sup:
        ref = sup.ref("a")
        await ref.ask("kept")
        hold = Hold.new()
        asked = asyncio.create_task(ref.ask(hold))
        await hold.begun.wait()
        stop = asyncio.create_task(sup.stop())
        await eventually(lambda: sup.which_children()[0].state == "stopping")

        clock.advance(2.9)
        await asyncio.sleep(0)
        assert exits == []
        clock.advance(0.1)
        await stop

        with pytest.raises(ActorCrashed, match="was ended while it handled the message"):
            await asked
        assert flushed == ["kept"]
        assert exits == [Killed()]


async def test_an_actor_that_swallows_cancellation_is_reported_and_left_behind() -> None:
    clock = ManualClock()
    events: list[ChildEvent] = []
    release, begun = asyncio.Event(), asyncio.Event()
    spec = ChildSpec(Stubborn, id="a", args=(release, begun), shutdown=3.0)
    before = asyncio.all_tasks()
    async with Supervisor([spec], clock=clock, observer=events.append) as sup:
        await sup.ref("a").tell("go")
        await begun.wait()
        stop = asyncio.create_task(sup.stop())
        await eventually(lambda: sup.which_children()[0].state == "stopping")

        clock.advance(3.0)
        await asyncio.sleep(0)
        assert not stop.done()
        clock.advance(1.0)
        await stop

    release.set()
    await eventually(lambda: asyncio.all_tasks() == before)
    assert [event.kind for event in events] == ["abandoned", "ended"]
    assert "Stubborn.receive" in events[0].text


async def test_a_whole_tree_of_stubborn_actors_exits_within_grace_and_two_seconds() -> None:
    release, begun = asyncio.Event(), asyncio.Event()
    stubborn = [ChildSpec(Stubborn, id=f"s{n}", args=(release, begun), shutdown=30.0) for n in range(5)]
    nested = ChildSpec(Supervisor, id="nested", args=(stubborn,))
    before = asyncio.all_tasks()
    clock = ManualClock()
    async with Supervisor([nested, *stubborn], clock=clock, observer=lambda event: None) as sup:
        for child in sup.which_children():
            if not child.is_supervisor:
                await sup.ref(child.id).tell("go")
        await eventually(lambda: not any(child.queue_length for child in sup.which_children()))
        begin = clock.monotonic()

        stop = asyncio.create_task(sup.stop(within_s=10.0))
        while not stop.done():
            for _ in range(50):
                await asyncio.sleep(0)
            clock.advance(0.1)

        assert 10.0 <= clock.monotonic() - begin < 10.0 + 2.0
    release.set()
    await eventually(lambda: asyncio.all_tasks() == before)


async def test_cleanup_that_hangs_is_cancelled_at_the_deadline() -> None:
    clock = ManualClock()
    events: list[str] = []

    class HangsInCleanup(Actor):
        async def stopping(self, exit: Exit) -> None:
            events.append("hanging")
            try:
                await asyncio.Event().wait()
            finally:
                events.append("cancelled")

    async with Supervisor([ChildSpec(HangsInCleanup, id="a", shutdown=2.0)], clock=clock) as sup:
        stop = asyncio.create_task(sup.stop())
        await eventually(lambda: events == ["hanging"])  # before that it would be cancelled on its way there
        clock.advance(2.0)

        await stop

    assert events == ["hanging", "cancelled"]


async def test_cleanup_after_a_crash_is_bounded_too() -> None:
    clock = ManualClock()

    class HangsAfterACrash(Keeper):
        async def stopping(self, exit: Exit) -> None:
            if not isinstance(exit, Shutdown):
                await asyncio.Event().wait()

    async with Supervisor([ChildSpec(HangsAfterACrash, id="a", shutdown=2.0)], clock=clock) as sup:
        with pytest.raises(ActorCrashed):
            await sup.ref("a").ask(Boom())

        clock.advance(2.0)

        assert await sup.ref("a").ask("back") == "back"


async def test_leaving_by_an_error_stops_the_children_and_raises_it() -> None:
    diary = Diary()
    with pytest.raises(KeyError, match="from the body"):
        async with Supervisor([ChildSpec(Chronicler, id="a", args=(diary, "a"))]):
            raise KeyError("from the body")

    assert diary.lines == ["start a", "stop a: Shutdown"]


async def test_leaving_by_a_cancelled_scope_stops_the_children_in_order() -> None:
    diary = Diary()
    with anyio.CancelScope() as scope:
        async with Supervisor([ChildSpec(Chronicler, id=id, args=(diary, id)) for id in "ab"]):
            scope.cancel()
            await asyncio.Event().wait()

    assert diary.lines[2:] == ["stop b: Shutdown", "stop a: Shutdown"]


async def test_cancelling_the_leaving_itself_kills_what_is_left_and_is_raised() -> None:
    diary = Diary()
    hold = Hold.new()
    entered = asyncio.Event()

    async def main() -> None:
        async with Supervisor([ChildSpec(Chronicler, id="a", args=(diary, "a"), shutdown=60.0)]) as sup:
            await sup.ref("a").tell(hold)
            await hold.begun.wait()
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(main())
    await entered.wait()
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert diary.lines == ["start a", "stop a: Killed"]


async def test_a_tree_may_be_closed_in_another_task_than_the_one_that_opened_it() -> None:
    diary = Diary()
    sup = Supervisor([ChildSpec(Chronicler, id="a", args=(diary, "a"))])
    with anyio.CancelScope():
        await asyncio.create_task(_open(sup))
    assert await sup.ref("a").ask("open") == "open"

    await sup.__aexit__(None, None, None)

    assert diary.lines == ["start a", "stop a: Shutdown"]


async def _open(sup: Supervisor) -> None:
    await sup.__aenter__()


async def test_a_cancellation_from_outside_is_not_taken_for_the_supervisors_own() -> None:
    def observe(event: ChildEvent) -> None:
        task.cancel()

    async def main() -> None:
        child = ChildSpec(Keeper, id="a", restart="transient", significant=True)
        async with Supervisor([child], observer=observe) as sup:
            await sup.ref("a").tell(Finish())
            await asyncio.Event().wait()

    task = asyncio.create_task(main())
    await asyncio.wait([task])

    assert task.cancelled()


async def test_cancelling_the_entering_stops_what_had_started() -> None:
    diary = Diary()

    class Hangs(Actor):
        async def started(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        specs = [ChildSpec(Chronicler, id="a", args=(diary, "a")), ChildSpec(Hangs, id="b", shutdown=0.05)]
        async with Supervisor(specs):
            pytest.fail("the body must not run")

    task = asyncio.create_task(main())
    await eventually(lambda: diary.lines == ["start a"])
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert diary.lines == ["start a", "stop a: Shutdown"]


async def test_what_was_left_behind_takes_no_more_messages() -> None:
    clock = ManualClock()
    release, begun = asyncio.Event(), asyncio.Event()

    class StubbornKeeper(Keeper):
        async def receive(self, message: object) -> object:
            if message != "hang":
                return await super().receive(message)
            return await Stubborn(release, begun).receive(message)

    before = asyncio.all_tasks()
    specs = [ChildSpec(StubbornKeeper, id="a", shutdown=1.0), ChildSpec(Keeper, id="b")]
    async with Supervisor(specs, strategy="one_for_all", clock=clock, observer=lambda event: None) as sup:
        ref = sup.ref("a")
        asked = asyncio.create_task(ref.ask("hang", timeout=None))
        await begun.wait()
        await sup.ref("b").tell(Boom())
        await eventually(lambda: sup.which_children()[0].state == "stopping")
        clock.advance(1.0)
        await asyncio.sleep(0)
        clock.advance(1.0)
        with pytest.raises(ActorCrashed):
            await asked
        assert await ref.ask("for the new one", timeout=None) == "for the new one"
        handled = sup.which_children()[0].handled

        release.set()
        await eventually(lambda: len(asyncio.all_tasks() - before) == 3)

        assert await ref.ask("also for the new one", timeout=None) == "also for the new one"
        assert sup.which_children()[0].handled <= handled + 2


async def test_a_child_can_be_given_less_time_to_stop_than_its_own_and_never_more() -> None:
    clock = ManualClock()
    exits: list[tuple[str, Exit]] = []

    class Lingering(Actor):
        def __init__(self, name: str) -> None:
            self.name = name

        async def stopping(self, exit: Exit) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                exits.append((self.name, exit))

    specs = [ChildSpec(Lingering, id=id, args=(id,), shutdown=10.0) for id in ("hurried", "patient")]
    async with Supervisor(specs, clock=clock) as sup:
        for id, within_s, ends_s in (("hurried", 2.0, 2.0), ("patient", 60.0, 10.0)):
            stopping = asyncio.ensure_future(sup.stop_child(id, within_s=within_s))
            await anyio.wait_all_tasks_blocked()
            clock.advance(ends_s - 0.5)
            await anyio.wait_all_tasks_blocked()
            assert not stopping.done()
            clock.advance(1.0)
            await stopping
    assert exits == [("hurried", Shutdown()), ("patient", Shutdown())]
