"""Promise 5: supervision as in OTP."""

from __future__ import annotations

import asyncio
import functools
import random

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import ActorCrashed, RestartIntensityExceeded
from callboard.kernel.intensity import Backoff
from callboard.kernel.restarts import Restart, Strategy
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.system import ChildEvent
from tests.kernel.cast import Boom, Chronicler, Diary, Finish, Get, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


def _children(diary: Diary, ids: str = "abc") -> list[ChildSpec]:
    return [ChildSpec(Chronicler, id=id, args=(diary, id)) for id in ids]


async def _crash(supervisor: Supervisor, path: str, *texts: str) -> None:
    async with supervisor as sup:
        for text in texts:
            await sup.ref(path).tell(Boom(text))
        await asyncio.Event().wait()


def _is_restarted(sup: Supervisor, times: int) -> bool:
    return sup.restarts == times


def _has_length(found: list[float], length: int) -> bool:
    return len(found) == length


async def test_children_start_left_to_right_and_stop_right_to_left() -> None:
    diary = Diary()
    async with Supervisor(_children(diary)):
        assert diary.take() == ["start a", "start b", "start c"]

    assert diary.take() == ["stop c: Shutdown", "stop b: Shutdown", "stop a: Shutdown"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["stop b: Crashed", "start b"]),
        (
            "one_for_all",
            ["stop b: Crashed", "stop c: Shutdown", "stop a: Shutdown", "start a", "start b", "start c"],
        ),
        ("rest_for_one", ["stop b: Crashed", "stop c: Shutdown", "start b", "start c"]),
    ],
)
async def test_a_crash_restarts_those_the_strategy_says(strategy: Strategy, expected: list[str]) -> None:
    diary = Diary()
    async with Supervisor(_children(diary), strategy=strategy) as sup:
        diary.take()

        await sup.ref("b").tell(Boom())

        await eventually(lambda: len(diary.lines) == len(expected))
        assert diary.lines == expected
        assert sup.restarts == 1


@pytest.mark.parametrize(
    ("restart", "message", "comes_back"),
    [
        ("permanent", Boom(), True),
        ("permanent", Finish(), True),
        ("transient", Boom(), True),
        ("transient", Finish(), False),
        ("temporary", Boom(), False),
        ("temporary", Finish(), False),
    ],
)
async def test_a_child_comes_back_as_its_spec_says(restart: Restart, message: object, comes_back: bool) -> None:
    diary = Diary()
    async with Supervisor([ChildSpec(Chronicler, id="a", args=(diary, "a"), restart=restart)]) as sup:
        await sup.ref("a").tell(message)

        await eventually(lambda: sup.which_children()[0].state == ("running" if comes_back else "stopped"))
        await eventually(lambda: sup.restarts == (1 if comes_back else 0))


async def test_more_restarts_than_allowed_end_the_supervisor_with_the_last_crash() -> None:
    with pytest.raises(RestartIntensityExceeded, match="more than 2 restarts in 5 s") as caught:
        await _crash(Supervisor([ChildSpec(Keeper, id="a")], max_restarts=2, within=5.0), "a", "0", "1", "2")

    assert repr(caught.value.__cause__) == "ValueError('2')"


async def test_crashes_further_apart_than_the_period_are_borne() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="a")], max_restarts=1, within=5.0, clock=clock) as sup:
        for n in range(1, 6):
            with pytest.raises(ActorCrashed):
                await sup.ref("a").ask(Boom())
            await eventually(functools.partial(_is_restarted, sup, n))
            clock.advance(5.1)

        assert await sup.ref("a").ask("still there") == "still there"


async def _enter(supervisor: Supervisor) -> None:
    async with supervisor:
        pytest.fail("the body must not run")


class NeverStarts(Actor):
    async def started(self) -> None:
        raise OSError("no connection")


async def test_a_child_that_never_starts_makes_entering_fail() -> None:
    diary = Diary()
    with pytest.raises(RestartIntensityExceeded) as caught:
        await _enter(Supervisor([*_children(diary, "a"), ChildSpec(NeverStarts, id="b")]))

    assert isinstance(caught.value.__cause__, OSError)
    assert diary.lines == ["start a", "stop a: Shutdown"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_failed_start_keeps_those_to_its_right_waiting(strategy: Strategy) -> None:
    diary = Diary()
    specs = [*_children(diary, "a"), ChildSpec(NeverStarts, id="b"), *_children(diary, "c")]
    with pytest.raises(RestartIntensityExceeded):
        await _enter(Supervisor(specs, strategy=strategy, max_restarts=1))

    assert "start c" not in diary.lines


async def test_a_temporary_child_that_fails_to_start_holds_nobody_up() -> None:
    diary = Diary()
    specs = [ChildSpec(NeverStarts, id="a", restart="temporary"), *_children(diary, "b")]
    async with Supervisor(specs, strategy="rest_for_one"):
        assert diary.take() == ["start b"]


async def test_a_nested_supervisor_that_gives_up_is_a_crash_for_its_parent() -> None:
    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a")],), kwargs={"max_restarts": 0})
    async with Supervisor([inner, ChildSpec(Keeper, id="b")]) as sup:
        await sup.ref("b").tell("kept")

        await sup.ref("inner/a").tell(Boom())

        await eventually(lambda: sup.which_children()[0].restarts == 1)
        assert await sup.ref("inner/a").ask("back") == "back"
        assert await sup.ref("b").ask(Get()) == ["kept"]


async def test_escalation_reaches_the_top() -> None:
    inner = ChildSpec(Supervisor, id="inner", args=([ChildSpec(Keeper, id="a")],), kwargs={"max_restarts": 0})
    with pytest.raises(RestartIntensityExceeded) as caught:
        await _crash(Supervisor([inner], max_restarts=0), "inner/a", "deep down")

    assert isinstance(caught.value.__cause__, RestartIntensityExceeded)
    assert caught.value.__cause__.path == "inner"
    assert repr(caught.value.__cause__.__cause__) == "ValueError('deep down')"


async def test_restarts_wait_longer_after_each_crash_and_anew_once_healthy() -> None:
    clock = ManualClock()
    pauses: list[float] = []

    def observe(event: ChildEvent) -> None:
        if event.delay_s is not None:
            pauses.append(event.delay_s)

    backoff = Backoff(initial=1.0, factor=2.0, cap=5.0)
    sup = Supervisor(
        [ChildSpec(Keeper, id="a")],
        max_restarts=None,
        backoff=backoff,
        clock=clock,
        rng=random.Random(7),
        observer=observe,
    )
    async with sup:
        for n in range(1, 7):
            await sup.ref("a").tell(Boom())
            await eventually(functools.partial(_has_length, pauses, n))
            assert sup.which_children()[0].state == "restarting"
            clock.advance(pauses[-1])
            await eventually(lambda: sup.which_children()[0].state == "running")
            if n == 5:
                clock.advance(6.0)

    for pause, full in zip(pauses, (1, 2, 4, 5, 5, 1), strict=True):
        assert full / 2 <= pause <= full


async def test_a_subtree_that_gave_up_is_parked_and_tried_again_while_others_go_on() -> None:
    clock = ManualClock()
    inner = ChildSpec(Supervisor, id="mail", args=([ChildSpec(Keeper, id="a")],), kwargs={"max_restarts": 0})
    queues = ChildSpec(
        Supervisor,
        id="queues",
        args=([inner, ChildSpec(Keeper, id="b")],),
        kwargs={"max_restarts": None, "backoff": Backoff()},
    )
    async with Supervisor([queues], clock=clock) as sup:
        await sup.ref("queues/mail/a").tell(Boom("bad luck"))
        await eventually(lambda: any(child.state == "parked" for child in sup.which_children()))
        parked = next(child for child in sup.which_children() if child.state == "parked")

        assert parked.id == "queues/mail"
        assert parked.is_supervisor
        assert parked.restart_in_s is not None
        assert 0.5 <= parked.restart_in_s <= 1.0
        assert parked.last_crash is not None
        assert "bad luck" in parked.last_crash
        assert sup.ref("queues/mail/a").try_tell("waits in the mailbox")
        assert await sup.ref("queues/b").ask("unaffected") == "unaffected"
        clock.advance(1.0)

        assert await sup.ref("queues/mail/a").ask(Get()) == ["waits in the mailbox"]


async def test_the_end_of_a_significant_child_ends_the_supervisor() -> None:
    diary = Diary()
    last = ChildSpec(Chronicler, id="z", args=(diary, "z"), restart="transient", significant=True)
    async with Supervisor([*_children(diary, "a"), last]) as sup:
        await sup.ref("z").tell(Finish())
        await asyncio.Event().wait()  # the body is cancelled, and nothing raised

    assert diary.lines[2:] == ["stop z: Normal", "stop a: Shutdown"]


async def test_each_child_has_its_own_shutdown_time() -> None:
    clock = ManualClock()
    specs = [
        ChildSpec(Keeper, id="patient", shutdown=10.0),
        ChildSpec(Keeper, id="hasty", shutdown=1.0),
    ]
    events: list[tuple[float, str]] = []

    class Waits(Keeper):
        async def receive(self, message: object) -> object:
            try:
                return await asyncio.Event().wait()
            finally:
                events.append((clock.monotonic(), self.context.path))

    async with Supervisor([ChildSpec(Waits, id=s.id, shutdown=s.shutdown) for s in specs], clock=clock) as sup:
        begin = clock.monotonic()
        for spec in specs:
            await sup.ref(spec.id).tell("wait")
        await eventually(lambda: not any(c.queue_length for c in sup.which_children()))
        stop = asyncio.create_task(sup.stop())
        for _ in range(12):
            for _ in range(20):
                await asyncio.sleep(0)
            clock.advance(1.0)
        await stop

    assert events == [(begin + 1.0, "hasty"), (begin + 11.0, "patient")]


async def test_a_child_that_hangs_in_its_restart_holds_no_sibling_up() -> None:
    gate = asyncio.Event()
    gate.set()

    class Gated(Keeper):
        async def started(self) -> None:
            await gate.wait()

    async with Supervisor([ChildSpec(Gated, id="gated"), ChildSpec(Keeper, id="b")]) as sup:
        gate.clear()
        await sup.ref("gated").tell(Boom())
        await eventually(lambda: sup.which_children()[0].state == "starting")

        await sup.ref("b").tell(Boom())
        assert await sup.ref("b").ask("restarted meanwhile") == "restarted meanwhile"
        gate.set()
        assert await sup.ref("gated").ask("me too") == "me too"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "not empty"),
        ({"id": "a/b"}, "no slash"),
        ({"restart": "sometimes"}, "permanent, transient, temporary"),
        ({"in_flight": "lose"}, "drop, redeliver, quarantine"),
        ({"shutdown": -1.0}, "0 or more"),
        ({"mailbox": 0}, "one message at least"),
        ({"significant": True}, "permanent child always comes back"),
        ({"factory": "Keeper"}, "class or function"),
    ],
    ids=str,
)
async def test_a_wrong_child_spec_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"factory": Keeper, "id": "a", **change}

    with pytest.raises(ValueError, match=message):
        ChildSpec(**arguments)  # type: ignore[arg-type]


async def test_two_children_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="found twice: a"):
        Supervisor([ChildSpec(Keeper, id="a"), ChildSpec(Keeper, id="a")])


async def test_a_supervisor_is_entered_once() -> None:
    sup = Supervisor([])
    async with sup:
        pass

    with pytest.raises(RuntimeError, match="make a new one"):
        async with sup:
            pass
