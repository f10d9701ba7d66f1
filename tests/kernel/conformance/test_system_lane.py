"""Promise 3: what the system says is looked at between any two messages."""

from __future__ import annotations

import asyncio

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.exits import Crashed, Down, Exit
from callboard.kernel.ref import Ref
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Boom, Diary, Get, Hold, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


class Slow(Keeper):
    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self.diary = diary

    async def receive(self, message: object) -> object:
        self.diary.write("message")
        return await super().receive(message)

    async def stopping(self, exit: Exit) -> None:
        self.diary.write("stopping")


async def test_a_stop_overtakes_waiting_messages() -> None:
    diary = Diary()
    async with Supervisor([ChildSpec(Slow, id="slow", args=(diary,))]) as sup:
        ref = sup.ref("slow")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        for n in range(500):
            await ref.tell(n)
        stop = asyncio.create_task(sup.stop())
        await asyncio.sleep(0)

        hold.release.set()
        await stop

    assert diary.lines == ["message", "stopping"]


async def test_a_stop_needs_no_room() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=1)]) as sup:
        ref = sup.ref("keeper")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        assert ref.try_tell("full")
        assert not ref.try_tell("too much")
        stop = asyncio.create_task(sup.stop())
        await asyncio.sleep(0)

        hold.release.set()

        await stop


class Watcher(Actor):
    def __init__(self) -> None:
        self.seen: list[object] = []

    async def started(self) -> None:
        self.context.watch(self.context.ref("watched"))

    async def receive(self, message: object) -> object:
        match message:
            case Get():
                return list(self.seen)
            case Hold():
                message.begun.set()
                await message.release.wait()
            case _:
                self.seen.append(message)
        return None


async def test_the_end_of_a_watched_actor_overtakes_waiting_messages() -> None:
    async with Supervisor([ChildSpec(Keeper, id="watched"), ChildSpec(Watcher, id="watcher")]) as sup:
        watched, watcher = sup.ref("watched"), sup.ref("watcher")
        hold = Hold.new()
        await watcher.tell(hold)
        await hold.begun.wait()
        await watcher.tell("waits")
        await watched.tell(Boom())
        await eventually(lambda: sup.restarts == 1)

        hold.release.set()
        first, second = await _seen(watcher)

        assert isinstance(first, Down)
        assert isinstance(first.exit, Crashed)
        assert second == "waits"


async def _seen(watcher: Ref) -> tuple[object, object]:
    seen = await watcher.ask(Get())
    assert isinstance(seen, list)
    first, second = seen
    return first, second
