"""Promise 7: watching, dead letters, names, and setting messages aside."""

from __future__ import annotations

import asyncio

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.errors import ActorCrashed, ActorStopped, MailboxFull
from callboard.kernel.exits import Crashed, Down, Normal, Shutdown
from callboard.kernel.ref import Ref
from callboard.kernel.supervisor import Supervisor
from tests.kernel.cast import Boom, Finish, Get, Hold, Keeper
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


class Watcher(Keeper):
    """Watches the refs it is told, keeps the rest."""

    async def receive(self, message: object) -> object:
        match message:
            case ("watch", Ref() as ref):
                self.context.watch(ref)
            case ("unwatch", Ref() as ref):
                self.context.unwatch(ref)
            case _:
                return await super().receive(message)
        return None


def _specs(**options: object) -> list[ChildSpec]:
    watched = ChildSpec(Keeper, id="watched", **options)  # type: ignore[arg-type]
    return [watched, ChildSpec(Watcher, id="watcher")]


async def _downs(watcher: Ref) -> list[tuple[object, bool]]:
    seen = await watcher.ask(Get())
    assert isinstance(seen, list)
    assert all(isinstance(down, Down) for down in seen)
    return [(down.exit, down.final) for down in seen]


async def test_a_watcher_hears_of_each_crash_and_of_the_last_end() -> None:
    async with Supervisor(_specs()) as sup:
        watched, watcher = sup.ref("watched"), sup.ref("watcher")
        await watcher.ask(("watch", watched))

        for n in (1, 2):
            with pytest.raises(ActorCrashed):
                await watched.ask(Boom())
            await watched.ask(n)
        await sup.stop_child("watched")

        first, second, last = await _downs(watcher)
        assert isinstance(first[0], Crashed)
        assert isinstance(second[0], Crashed)
        assert last == (Shutdown(), True)
        assert (first[1], second[1]) == (False, False)


async def test_a_watcher_hears_once_of_a_child_that_is_let_go() -> None:
    async with Supervisor(_specs(restart="transient")) as sup:
        watched, watcher = sup.ref("watched"), sup.ref("watcher")
        await watcher.ask(("watch", watched))

        await watched.tell(Finish())

        await eventually(lambda: sup.which_children()[0].state == "stopped")
        assert await _downs(watcher) == [(Normal(), True)]


async def test_watching_nobody_is_answered_at_once() -> None:
    async with Supervisor(_specs()) as sup:
        watcher = sup.ref("watcher")

        await watcher.ask(("watch", sup.ref("nobody")))

        assert await _downs(watcher) == [(Shutdown(), True)]


async def test_after_unwatch_nothing_is_heard() -> None:
    async with Supervisor(_specs()) as sup:
        watched, watcher = sup.ref("watched"), sup.ref("watcher")
        await watcher.ask(("watch", watched))

        await watcher.ask(("unwatch", watched))
        await sup.stop_child("watched")

        assert await _downs(watcher) == []


async def test_a_restarted_watcher_no_longer_watches() -> None:
    async with Supervisor(_specs()) as sup:
        watched, watcher = sup.ref("watched"), sup.ref("watcher")
        await watcher.ask(("watch", watched))
        with pytest.raises(ActorCrashed):
            await watcher.ask(Boom())
        await watcher.ask(("unwatch", sup.ref("nobody")))

        await sup.stop_child("watched")

        assert await _downs(watcher) == []


async def test_what_a_stopped_actor_left_unread_is_a_dead_letter() -> None:
    async with Supervisor([ChildSpec(Keeper, id="a")]) as sup:
        ref = sup.ref("a")
        hold = Hold.new()
        await ref.tell(hold)
        await hold.begun.wait()
        await ref.tell("unread")
        stop = asyncio.create_task(sup.stop_child("a"))
        await asyncio.sleep(0)
        hold.release.set()
        await stop
        assert not ref.try_tell("late")
        with pytest.raises(ActorStopped):
            await ref.tell("later")

        assert [(letter.path, letter.message) for letter in sup.dead_letters.recent] == [
            ("a", "unread"),
            ("a", "late"),
            ("a", "later"),
        ]
        assert sup.dead_letters.count == 3


async def test_dead_letters_are_all_counted_and_the_last_1000_kept() -> None:
    async with Supervisor([]) as sup:
        nobody = sup.ref("nobody")

        for n in range(1_500):
            assert not nobody.try_tell(n)

        assert sup.dead_letters.count == 1_500
        assert [letter.message for letter in sup.dead_letters.recent] == list(range(500, 1_500))


class Namer(Actor):
    """Reaches others by the names it is asked for."""

    async def receive(self, message: object) -> object:
        assert isinstance(message, str)
        return await self.context.ref(message).ask("hello")


async def test_actors_reach_each_other_by_path_from_the_root() -> None:
    mail = ChildSpec(Supervisor, id="mail", args=([ChildSpec(Keeper, id="dispatcher"), ChildSpec(Namer, id="namer")],))
    queues = ChildSpec(Supervisor, id="queues", args=([mail],))
    async with Supervisor([ChildSpec(Keeper, id="store"), queues]) as sup:
        namer = sup.ref("queues/mail/namer")

        assert await namer.ask("store") == "hello"
        assert await namer.ask("queues/mail/dispatcher") == "hello"


async def test_a_name_that_nobody_has_says_who_there_is() -> None:
    async with Supervisor([ChildSpec(Keeper, id="store")]) as sup:
        with pytest.raises(ActorStopped, match=r"'stoer': no such actor.*known: store"):
            await sup.ref("stoer").ask("hello")


async def test_a_supervisor_takes_no_messages() -> None:
    async with Supervisor([ChildSpec(Supervisor, id="inner", args=([],))]) as sup:
        with pytest.raises(ActorStopped, match="it is a supervisor"):
            await sup.ref("inner").ask("hello")


class Opener(Keeper):
    """Sets everything aside until it is told to open."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    async def receive(self, message: object) -> object:
        if message == "open":
            self.is_open = True
            self.context.unstash()
            return None
        if self.is_open or isinstance(message, Boom):
            return await super().receive(message)
        self.context.stash()
        return "this answer is not sent"


async def test_what_was_set_aside_comes_before_what_waits_and_is_answered_then() -> None:
    async with Supervisor([ChildSpec(Opener, id="a")]) as sup:
        ref = sup.ref("a")
        asked = asyncio.create_task(ref.ask("first"))
        await asyncio.sleep(0)
        await ref.tell("second")
        await ref.tell("open")
        await ref.tell("third")

        assert await asked == "first"
        assert await ref.ask(Get()) == ["first", "second", "third"]


async def test_what_was_set_aside_survives_a_crash() -> None:
    async with Supervisor([ChildSpec(Opener, id="a")]) as sup:
        ref = sup.ref("a")
        await ref.tell("first")
        await ref.tell("second")
        await ref.tell(Boom())
        await ref.tell("open")

        assert await ref.ask(Get()) == ["first", "second"]


class Hoarder(Keeper):
    async def receive(self, message: object) -> object:
        if isinstance(message, Get):
            return list(self.seen)
        try:
            self.context.stash()
        except MailboxFull:
            self.seen.append(message)
        return None


async def test_the_stash_holds_no_more_than_the_mailbox() -> None:
    async with Supervisor([ChildSpec(Hoarder, id="a", mailbox=2)]) as sup:
        ref = sup.ref("a")
        for n in range(4):
            await ref.tell(n)

        assert await ref.ask(Get()) == [2, 3]
