"""Promise 1: one message at a time per actor; first in, first out per sender; handled at most once."""

from __future__ import annotations

import asyncio

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Get, Keeper

pytestmark = pytest.mark.both_loops


class Overlap(Actor):
    """Notes how many handlers are active at once."""

    def __init__(self) -> None:
        self.active = 0
        self.most = 0

    async def receive(self, message: object) -> object:
        self.active += 1
        self.most = max(self.most, self.active)
        for _ in range(3):
            await asyncio.sleep(0)
        self.active -= 1
        return self.most


async def test_ten_senders_at_once_are_handled_one_at_a_time() -> None:
    async with Supervisor([ChildSpec(Overlap, id="overlap")]) as sup:
        ref = sup.ref("overlap")

        answers = await asyncio.gather(*[ref.ask(n) for n in range(10)])

        assert answers == [1] * 10


async def test_each_senders_messages_arrive_in_order_and_once() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=4)]) as sup:
        ref = sup.ref("keeper")

        async def send(sender: int) -> None:
            for n in range(200):
                await ref.tell((sender, n))
                if n % 7 == sender:
                    await asyncio.sleep(0)

        await asyncio.gather(*[send(sender) for sender in range(5)])
        seen = await ref.ask(Get())

        assert isinstance(seen, list)
        assert len(seen) == 1_000
        for sender in range(5):
            assert [n for who, n in seen if who == sender] == list(range(200))


async def test_tell_ask_and_try_tell_of_one_sender_keep_their_order() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper")]) as sup:
        ref = sup.ref("keeper")

        await ref.tell("first")
        assert ref.try_tell("second")
        await ref.ask("third")

        assert await ref.ask(Get()) == ["first", "second", "third"]


async def test_a_flood_of_messages_does_not_keep_the_loop_from_others() -> None:
    async with Supervisor([ChildSpec(Keeper, id="keeper", mailbox=10_000)]) as sup:
        ref = sup.ref("keeper")
        for n in range(10_000):
            ref.try_tell(n)

        turns = 0
        while next(info for info in sup.which_children() if info.id == "keeper").queue_length:
            turns += 1
            await asyncio.sleep(0)

        assert turns > 10_000 / 64 / 2
