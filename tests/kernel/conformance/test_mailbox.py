"""Promise 2: mailboxes are bounded, and senders wait for room in their order."""

from __future__ import annotations

import asyncio

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import ManualClock
from callboard.kernel.errors import MailboxFull
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Get, Hold, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


async def test_the_default_room_is_1024() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper")]) as sup:
        ref = sup.ref("keeper")

        taken = [ref.try_tell(n) for n in range(1_030)]

        assert taken == [True] * 1_024 + [False] * 6


async def test_try_tell_refuses_when_full_and_drops_nothing_that_was_taken() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=3)]) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()

        taken = [ref.try_tell(n) for n in range(5)]
        hold.release.set()

        assert taken == [True, True, True, False, False]
        assert await ref.ask(Get()) == [0, 1, 2]


async def test_tells_wait_for_room_first_come_first_served() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=1)]) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("in the box")
        waiting = []
        for n in range(4):
            waiting.append(asyncio.create_task(ref.tell(n)))
            await asyncio.sleep(0)

        assert not ref.try_tell("jumps the queue")
        assert not any(task.done() for task in waiting)
        hold.release.set()
        await asyncio.gather(*waiting)

        assert await ref.ask(Get()) == ["in the box", 0, 1, 2, 3]


async def test_a_sender_cancelled_while_it_waits_is_skipped() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=1)]) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("in the box")
        gone = asyncio.create_task(ref.tell("gone"))
        stays = asyncio.create_task(ref.tell("stays"))
        await asyncio.sleep(0)

        gone.cancel()
        await asyncio.wait([gone])
        hold.release.set()
        await stays

        assert gone.cancelled()
        assert await ref.ask(Get()) == ["in the box", "stays"]


@pytest.mark.parametrize("way", ["tell", "ask"])
async def test_a_deadline_that_passes_before_there_is_room_means_never_handled(way: str) -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=1)], clock=clock) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("in the box")
        send = ref.tell("late", timeout=1.0) if way == "tell" else ref.ask("late", timeout=1.0)
        late = asyncio.ensure_future(send)
        await asyncio.sleep(0)

        clock.advance(1.1)
        with pytest.raises(MailboxFull, match="'keeper' stayed full"):
            await late
        hold.release.set()

        assert await ref.ask(Get()) == ["in the box"]


class TalksToItself(Actor):
    """Sends itself more than its mailbox holds while it starts, and then more from its handler."""

    def __init__(self) -> None:
        self.refused = 0
        self.seen: list[object] = []

    async def started(self) -> None:
        await self._tell_itself(4)

    async def receive(self, message: object) -> object:
        if message == "report":
            await self._tell_itself(2)
            return self.refused
        self.seen.append(message)
        return None

    async def _tell_itself(self, times: int) -> None:
        for n in range(times):
            try:
                await self.context.ref().tell(n)
            except MailboxFull:
                self.refused += 1


async def test_an_actor_without_room_for_its_own_message_is_told_at_once() -> None:
    async with Supervisor([ChildSpec(TalksToItself, id="talker", mailbox=1)]) as sup:
        assert await sup.ref("talker").ask("report") == 4


class Clocked(Keeper):
    async def started(self) -> None:
        self.context.send_after(1.0, "tick")


async def test_a_timer_needs_no_room() -> None:
    clock = ManualClock()
    async with Supervisor([ChildSpec(Clocked, id="clocked", mailbox=1)], clock=clock) as sup:
        ref = sup.ref("clocked")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("fills the box")

        clock.advance(1.0)
        hold.release.set()

        await eventually(lambda: sup.which_children()[0].queue_length == 0)
        assert await ref.ask(Get()) == ["fills the box", "tick"]


async def test_a_reply_needs_no_room_in_the_askers_mailbox() -> None:
    class Asker(Actor):
        async def receive(self, message: object) -> object:
            return await self.context.ref("keeper").ask("question") if message == "go" else message

    specs = [ChildSpec(Keeper, id="keeper"), ChildSpec(Asker, id="asker", mailbox=1)]
    async with Supervisor(specs) as sup:
        asker, keeper = sup.ref("asker"), sup.ref("keeper")
        hold = Hold.new()
        await keeper.tell(hold)
        await hold.begun.wait()
        asked = asyncio.create_task(asker.ask("go"))
        await eventually(lambda: sup.which_children()[0].queue_length == 1)
        await asker.tell("fills the box")

        hold.release.set()

        assert await asked == "question"
