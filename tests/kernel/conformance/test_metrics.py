"""Promise 10: queue length, queue age, handled, crashed and restarts of each actor."""

from __future__ import annotations

import asyncio

import pytest

from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import ActorCrashed
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.system import ChildEvent
from tests.kernel.cast import Boom, Hold, Keeper

pytestmark = pytest.mark.both_loops


async def test_the_queue_has_a_length_and_an_age() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="a")], clock=clock) as sup:
        ref = sup.ref("a")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()

        await ref.tell("old")
        clock.advance(2.0)
        await ref.tell("young")
        clock.advance(1.0)

        info = sup.which_children()[0]
        assert (info.queue_length, info.queue_age_s) == (2, 3.0)
        hold.release.set()
        await ref.ask("drained")
        info = sup.which_children()[0]
        assert (info.queue_length, info.queue_age_s, info.handled) == (0, 0.0, 4)


async def test_crashes_and_restarts_are_counted_and_the_last_one_shown() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a")]) as sup:
        for text in ("first", "second"):
            with pytest.raises(ActorCrashed):
                await sup.ref("a").ask(Boom(text))
        await sup.ref("a").ask("handled")

        info = sup.which_children()[0]
        assert (info.handled, info.crashed, info.restarts, sup.restarts) == (1, 2, 2, 2)
        assert info.last_crash == "crashed: ValueError: second"


async def test_the_whole_tree_is_shown_depth_first_with_paths() -> None:
    mail = ChildSpec(Supervisor, id="mail", args=([ChildSpec(Keeper, id="dispatcher")],))
    queues = ChildSpec(Supervisor, id="queues", args=([mail],))
    async with Supervisor([queues, ChildSpec(Keeper, id="store")]) as sup:
        with pytest.raises(ActorCrashed):
            await sup.ref("queues/mail/dispatcher").ask(Boom())
        await sup.ref("queues/mail/dispatcher").ask("back")

        shown = [(child.id, child.state, child.restarts) for child in sup.which_children()]

        assert shown == [
            ("queues", "running", 0),
            ("queues/mail", "running", 0),
            ("queues/mail/dispatcher", "running", 1),
            ("store", "running", 0),
        ]
        assert sup.restarts == 1


async def test_an_observer_hears_what_happens() -> None:
    events: list[ChildEvent] = []
    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a")],), kwargs={"max_restarts": 1})
    async with Supervisor([inner], observer=events.append) as sup:
        for _ in range(2):
            with pytest.raises(ActorCrashed):
                await sup.ref("inner/a").ask(Boom())
        await sup.ref("inner/a").ask("back")

    assert [(event.path, event.kind) for event in events] == [
        ("inner/a", "crashed"),
        ("inner/a", "restarted"),
        ("inner/a", "crashed"),
        ("inner", "gave_up"),
        ("inner", "crashed"),
        ("inner", "restarted"),
    ]
    assert repr(events[0].error) == "ValueError('boom')"


async def test_an_observer_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def observe(event: ChildEvent) -> None:
        raise RuntimeError("the observer itself")

    async with Supervisor([ChildSpec(Keeper, id="a")], observer=observe) as sup:
        with pytest.raises(ActorCrashed):
            await sup.ref("a").ask(Boom())

        assert await sup.ref("a").ask("back") == "back"
    assert "the observer raised at a crashed" in caplog.text


async def test_without_an_observer_a_crash_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with Supervisor([ChildSpec(Keeper, id="a")]) as sup:
        with pytest.raises(ActorCrashed):
            await sup.ref("a").ask(Boom("in the log"))
        await asyncio.sleep(0)
        await sup.ref("a").ask("back")

    record = next(record for record in caplog.records if record.name == "callboard.kernel")
    assert record.getMessage() == "a crashed: ValueError: in the log"
    assert record.exc_info is not None
