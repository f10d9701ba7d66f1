"""What goes over the link between two nodes: messages, answers, and every way in which there is no answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.codec import NotStorable
from callboard.kernel.errors import (
    ActorCrashed,
    ActorStopped,
    AskCycle,
    AskTimeout,
    CallboardError,
    IncarnationOver,
    MailboxFull,
)
from callboard.kernel.ref import Ref
from tests.kernel.link.nodes import GATES, Book, Node, Nodes
from tests.support.eventually import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]

Entries = list[tuple[Any, tuple[str, int] | None]]


def book(entries: Entries | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(Book, id="book", args=(entries,), **options)


async def pair(nodes: Nodes, entries: Entries | None = None, **options: Any) -> tuple[Node, Node]:
    """A node that serves `book`, and one that sends."""
    receiver = await nodes.start([book(entries, **options)])
    await receiver.serve("book", "book")
    return receiver, await nodes.start()


async def test_messages_come_once_in_order_and_with_their_origin(nodes: Nodes) -> None:
    entries: Entries = []
    _, sender = await pair(nodes, entries)
    ref = sender.ref("book")

    for number in range(5000):
        await ref.tell(number)
    assert await ref.ask("last", timeout=20.0) == "last"

    assert [message for message, _ in entries] == [*range(5000), "last"]
    origins = [origin for _, origin in entries]
    assert all(origin is not None for origin in origins)
    assert len({origin[0] for origin in origins if origin}) == 1
    assert [origin[1] for origin in origins if origin] == list(range(1, 5002))


async def test_a_message_of_the_own_node_has_no_origin(nodes: Nodes) -> None:
    entries: Entries = []
    node = await nodes.start([book(entries)])

    await node.root.ref("book").ask("here")

    assert entries == [("here", None)]


@dataclass(frozen=True)
class Item:
    name: str
    sizes: tuple[int, ...]


BIG = b"x" * 900_000


@pytest.mark.parametrize(
    "message",
    [
        None,
        0,
        -(2**70),
        "ünï\x00",
        b"\x00\xff",
        1.5,
        [1, [2]],
        {"a": {1: 2}},
        (1, 2),
        {3},
        Item("a", (1, 2)),
        b"x" * 900_000,
    ],
    ids=lambda message: type(message).__name__,
)
async def test_messages_and_answers_of_every_kind_come_as_they_are(nodes: Nodes, message: object) -> None:
    _, sender = await pair(nodes)

    assert await sender.ref("book").ask(message, timeout=20.0) == message


async def test_many_callers_get_each_their_own_answer(nodes: Nodes) -> None:
    _, sender = await pair(nodes)
    ref = sender.ref("book")

    answers = await asyncio.gather(*(ref.ask(number, timeout=20.0) for number in range(3000)))

    assert answers == list(range(3000))


async def test_a_message_that_cannot_travel_is_refused_where_it_is_sent(nodes: Nodes) -> None:
    _, sender = await pair(nodes)
    ref = sender.ref("book")

    for send in (ref.tell, ref.ask):
        with pytest.raises(NotStorable, match="object"):
            await send(object())
    assert await ref.ask("next") == "next"


async def test_messages_wait_while_nobody_serves(nodes: Nodes) -> None:
    sender = await nodes.start()
    for number in range(10):
        await sender.ref("book").tell(number)
    asking = asyncio.create_task(sender.ref("book").ask("asked", timeout=20.0))
    entries: Entries = []
    receiver = await nodes.start([book(entries)])

    await receiver.serve("book", "book")

    assert await asking == "asked"
    assert [message for message, _ in entries] == [*range(10), "asked"]


async def test_an_actor_below_an_endpoint_is_reached_by_its_path(nodes: Nodes) -> None:
    receiver = await nodes.start([book(), ChildSpec(Book, id="other")])
    await receiver.link.serve("house", lambda path: receiver.root.ref(path).inbox, incarnation=1)
    sender = await nodes.start()

    assert await sender.ref("house", "other").ask("hello") == "hello"
    assert await receiver.root.ref("other").ask(("all",)) == ["hello"]
    assert await receiver.root.ref("book").ask(("all",)) == []


@pytest.mark.parametrize("endpoint", ["a", "a:b", "a b", "ünï", "{x}", "a*", "in", "\r\n", "n" * 400])
async def test_names_of_endpoints_are_kept_apart(nodes: Nodes, endpoint: str) -> None:
    entries: Entries = []
    receiver = await nodes.start([book(entries), ChildSpec(Book, id="other")])
    await receiver.serve(endpoint, "book")
    await receiver.serve(f"{endpoint}x", "other")
    sender = await nodes.start()

    assert await sender.ref(endpoint).ask("hello") == "hello"
    assert [message for message, _ in entries] == ["hello"]


# Every way in which there is no answer.


async def test_no_answer_in_time_after_it_was_begun_is_unknown(nodes: Nodes) -> None:
    GATES["slow"] = asyncio.Event()
    _, sender = await pair(nodes)

    with pytest.raises(AskTimeout) as caught:
        await sender.ref("book").ask(("wait", "slow"), timeout=0.3)

    assert caught.value.outcome == "unknown"
    assert "no answer from 'book' within 0.3 s" in str(caught.value)


async def test_an_ask_whose_time_is_over_is_passed_over_and_counted(nodes: Nodes) -> None:
    sender = await nodes.start()
    with pytest.raises(AskTimeout):
        await sender.ref("book").ask("too late", timeout=0.1)
    entries: Entries = []
    receiver = await nodes.start([book(entries)])

    await receiver.serve("book", "book")

    assert await sender.ref("book").ask("next", timeout=20.0) == "next"
    assert [message for message, _ in entries] == ["next"]
    assert receiver.link.counters["late"] == 1


async def test_an_ask_that_is_given_up_before_it_left_is_not_sent(nodes: Nodes) -> None:
    entries: Entries = []
    _, sender = await pair(nodes, entries)
    asking = asyncio.create_task(sender.ref("book").ask("given up"))
    asking.add_done_callback(lambda _: None)
    await asyncio.sleep(0)
    asking.cancel()

    assert await sender.ref("book").ask("next") == "next"
    assert [message for message, _ in entries if message != "given up"] == ["next"]


async def test_a_crash_is_told_with_its_text_and_the_actor_goes_on(nodes: Nodes) -> None:
    _, sender = await pair(nodes)

    with pytest.raises(ActorCrashed, match="ValueError: a reason") as caught:
        await sender.ref("book").ask(("crash", "a reason"))

    assert "book" in str(caught.value)
    assert await sender.ref("book").ask("next") == "next"


async def test_a_refusal_is_told_with_its_text(nodes: Nodes) -> None:
    _, sender = await pair(nodes)

    with pytest.raises(CallboardError, match="not on Sundays"):
        await sender.ref("book").ask(("refuse", "not on Sundays"))
    assert await sender.ref("book").ask("next") == "next"


async def test_an_actor_that_is_not_there_is_told_and_its_message_kept(nodes: Nodes) -> None:
    receiver = await nodes.start([book()])
    await receiver.link.serve("house", lambda path: receiver.root.ref(path).inbox, incarnation=1)
    sender = await nodes.start()

    with pytest.raises(ActorStopped, match="'house/nobody'") as caught:
        await sender.ref("house", "nobody").ask("hello", timeout=20.0)
    await sender.ref("house", "nobody").tell("told")

    assert "\n" not in str(caught.value)
    assert await sender.ref("house", "book").ask("next") == "next"
    assert receiver.link.counters["dead_letters"] == 2
    with nodes.at.client() as client:
        letters = await eventually(lambda: two_letters(nodes, client))
    assert any(b"told" in content for content in letters)


def two_letters(nodes: Nodes, client: Any) -> list[bytes]:
    found = [client.xrange(key) for key in nodes.keys(client) if b":dead" in key]
    contents = [fields[b"content"] for entries in found for _, fields in entries]
    assert len(contents) == 2
    return contents


@pytest.mark.parametrize("path", ["..", "/", "a//b", " ", "ünï", "\x00", "book/", "x" * 5000])
async def test_a_path_that_leads_nowhere_is_told_and_the_reader_lives(nodes: Nodes, path: str) -> None:
    _, sender = await pair(nodes)

    with pytest.raises(ActorStopped):
        await sender.ref("book", path).ask("hello", timeout=20.0)
    assert await sender.ref("book").ask("next") == "next"


async def test_an_actor_that_ends_for_good_refuses_what_waits_for_it(nodes: Nodes) -> None:
    GATES["slow"] = asyncio.Event()
    receiver = await nodes.start([book()])
    await receiver.link.serve("house", lambda path: receiver.root.ref(path).inbox, incarnation=1)
    sender = await nodes.start()
    await sender.ref("house", "book").tell(("wait", "slow"))
    asking = asyncio.create_task(sender.ref("house", "book").ask("behind it", timeout=30.0))
    await eventually(lambda: reached(receiver, 1))

    await receiver.root.stop_child("book", within_s=0.2)

    with pytest.raises((ActorStopped, ActorCrashed)):
        await asking


def reached(node: Node, messages: int) -> bool:
    inbox: Any = node.root.ref("book").inbox
    return len(inbox.queue) >= messages


class Relay(Actor):
    """Asks another, on whichever node, and gives its answer."""

    def __init__(self, to: dict[str, Ref], name: str) -> None:
        self._to = to
        self._name = name

    async def receive(self, message: object) -> object:
        return await self._to[self._name].ask(message, timeout=20.0)


async def test_who_asks_in_a_circle_over_nodes_is_told_at_once(nodes: Nodes) -> None:
    to: dict[str, Ref] = {}
    first = await nodes.start([ChildSpec(Relay, id="here", args=(to, "there"))])
    second = await nodes.start([ChildSpec(Relay, id="here", args=(to, "here"))])
    await first.serve("first", "here")
    await second.serve("second", "here")
    to |= {"there": first.ref("second"), "here": second.ref("first")}

    with pytest.raises((AskCycle, ActorCrashed), match="ask cycle"):
        await asyncio.wait_for(first.root.ref("here").ask("hello", timeout=20.0), 10.0)


async def test_an_ask_of_the_same_path_on_another_node_is_no_circle(nodes: Nodes) -> None:
    to: dict[str, Ref] = {}
    first = await nodes.start([ChildSpec(Relay, id="book", args=(to, "there"))])
    second = await nodes.start([book()])
    await second.serve("second", "book")
    to["there"] = first.ref("second")

    assert await first.root.ref("book").ask("hello") == "hello"


# Who serves.


async def test_an_older_incarnation_is_refused(nodes: Nodes) -> None:
    first, second = await nodes.start([book()]), await nodes.start([book()])
    await first.serve("book", "book", incarnation=7)

    with pytest.raises(IncarnationOver, match="'book'"):
        await second.serve("book", "book", incarnation=6)


async def test_a_later_incarnation_takes_over_at_once_and_the_old_one_gets_nothing_more(nodes: Nodes) -> None:
    old: Entries = []
    new: Entries = []
    first, second = await nodes.start([book(old)]), await nodes.start([book(new)])
    sender = await nodes.start()
    await first.serve("book", "book", incarnation=1)
    assert await sender.ref("book").ask("first") == "first"
    with nodes.at.client() as client:
        await eventually(lambda: nodes.waiting(client) == 0)

    await second.serve("book", "book", incarnation=2)
    for number in range(200):
        assert await sender.ref("book").ask(number, timeout=20.0) == number

    assert [message for message, _ in old] == ["first"]
    assert [message for message, _ in new] == list(range(200))


async def test_what_the_old_holder_did_not_handle_comes_to_the_next_in_order(nodes: Nodes) -> None:
    GATES["slow"] = asyncio.Event()
    old: Entries = []
    new: Entries = []
    first, second = await nodes.start([book(old)]), await nodes.start([book(new)])
    sender = await nodes.start()
    await first.serve("book", "book", incarnation=1)
    for number in range(100):
        await sender.ref("book").tell(number)
    await sender.ref("book").tell(("wait", "slow"))
    for number in range(100, 300):
        await sender.ref("book").tell(number)
    await eventually(lambda: len(old) == 100 and reached(first, 200))
    await first.link.leave("book")
    await first.root.stop_child("book", within_s=0.2)
    GATES["slow"].set()

    await second.serve("book", "book", incarnation=2)
    assert await sender.ref("book").ask("last", timeout=20.0) == "last"

    handled = [message for message, _ in new]
    assert [message for message in handled if message != ("wait", "slow")] == [*range(100, 300), "last"]


async def test_leaving_twice_and_what_was_never_served_is_no_error(nodes: Nodes) -> None:
    receiver, _ = await pair(nodes)

    for _ in range(2):
        await receiver.link.leave("book")
        await receiver.link.leave("never")
    await receiver.link.close()
    await receiver.link.close()


async def test_what_was_handled_is_gone_from_the_server(nodes: Nodes) -> None:
    _, sender = await pair(nodes)

    await asyncio.gather(*(sender.ref("book").ask(number, timeout=20.0) for number in range(500)))

    with nodes.at.client() as client:
        await eventually(lambda: nodes.waiting(client) == 0)


async def test_what_stands_for_no_message_goes_by_itself(nodes: Nodes) -> None:
    receiver, sender = await pair(nodes)
    await asyncio.gather(*(sender.ref("book").ask(number, timeout=20.0) for number in range(300)))
    await nodes.stop(sender)
    await nodes.stop(receiver)
    waits = await nodes.start()
    await waits.ref("nobody").tell("it stays")

    with nodes.at.client() as client:
        await eventually(lambda: nodes.waiting(client) == 1)
        lasting = [key for key in nodes.keys(client) if client.ttl(key) < 0]
    assert len(lasting) == 1
    assert lasting[0].endswith(b":in:nobody")


# Room.


async def test_a_receiver_that_is_slow_holds_up_its_senders(nodes: Nodes) -> None:
    GATES["slow"] = asyncio.Event()
    entries: Entries = []
    _, sender = await pair(nodes, entries, mailbox=4)
    ref = sender.ref("book")
    await ref.tell(("wait", "slow"))
    sent = 0
    while True:
        try:
            await ref.tell(sent, timeout=0.5)
        except MailboxFull as error:
            refused = str(error)
            break
        sent += 1
        assert sent < 40_000
    assert "'book'" in refused
    assert not ref.try_tell("no room")

    GATES["slow"].set()

    assert await ref.ask("last", timeout=30.0) == "last"
    assert [message for message, _ in entries] == [("wait", "slow"), *range(sent), "last"]


async def test_a_full_mailbox_does_not_hold_up_answers(nodes: Nodes) -> None:
    GATES["slow"] = asyncio.Event()
    receiver, other = await pair(nodes, mailbox=1)
    await other.serve("other", "none")
    echo = await nodes.start([book()])
    await echo.serve("echo", "book")
    for number in range(300):
        await other.ref("book").tell(("wait", "slow") if number == 0 else number)
    await eventually(lambda: reached(receiver, 1))

    assert await receiver.ref("echo").ask("through", timeout=20.0) == "through"


async def test_large_messages_wait_by_their_bytes(nodes: Nodes) -> None:
    sender = await nodes.start()
    with nodes.at.client() as client:
        ref, sent = sender.ref("book"), 0
        while ref.try_tell(BIG):
            sent += 1
            if sent % 5 == 0:
                await eventually(lambda: sender.link.outbox("book").waiting == 0 or nodes.waiting(client) >= 64)
        assert nodes.waiting(client) >= 64
        assert sender.link.outbox("book").waiting <= 12
