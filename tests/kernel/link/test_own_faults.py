"""What a fault of the link's own costs: one entry, and a report with its traceback; what a long life leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from callboard.kernel.child import ChildSpec
from callboard.kernel.codec import NotStorable
from callboard.kernel.errors import ActorStopped, AskTimeout, LinkRefused
from callboard.kernel.transport.link_outbox import Outbox
from callboard.kernel.transport.link_serving import Serving
from callboard.kernel.transport.redis_streams import RedisLink
from tests.kernel.link.nodes import Book, Node, Nodes
from tests.support.eventually import eventually
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]

Entries = list[tuple[Any, tuple[str, int] | None]]
Reports = list[dict[str, Any]]


Slips = Callable[[type, str], None]


class Slip(Exception):
    """Nobody foresaw it."""


@pytest.fixture
async def reports() -> Any:
    """What the event loop was told of faults."""
    told: Reports = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    yield told
    loop.set_exception_handler(None)


@pytest.fixture
def slips(monkeypatch: pytest.MonkeyPatch) -> Slips:
    """Makes a method fail the first time that it is called from now on."""

    def slip(owner: type, name: str) -> None:
        method, calls = getattr(owner, name), [0]

        def slipping(self: Any, *given: Any) -> Any:
            calls[0] += 1
            if calls[0] == 1:
                raise Slip(name)
            return method(self, *given)

        monkeypatch.setattr(owner, name, slipping)

    return slip


async def pair(nodes: Nodes, entries: Entries) -> Node:
    receiver = await nodes.start([ChildSpec(Book, id="book", args=(entries,))])
    await receiver.serve("book", "book")
    return await nodes.start()


def told_of(reports: Reports) -> list[str]:
    assert all(isinstance(report["exception"], Slip) and "\n" not in report["message"] for report in reports)
    return [report["message"] for report in reports]


async def test_a_reader_that_slips_is_reported_and_reads_on(nodes: Nodes, reports: Reports, slips: Slips) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries)
    assert await sender.ref("book").ask("before") == "before"
    slips(Serving, "_enter")

    for number in range(10):
        assert await sender.ref("book").ask(number, timeout=20.0) == number

    assert [message for message, _ in entries] == ["before", *range(10)]
    [said] = told_of(reports)
    assert "reading for 'book' failed and is tried again" in said


async def test_what_tells_the_server_may_slip_and_goes_on(nodes: Nodes, reports: Reports, slips: Slips) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries)
    slips(Serving, "_progress")

    for number in range(10):
        assert await sender.ref("book").ask(number, timeout=20.0) == number

    with nodes.at.client() as client:
        await eventually(lambda: nodes.waiting(client) == 0)
    [said] = told_of(reports)
    assert "telling what was handled for 'book'" in said


async def test_answers_that_slip_are_lost_and_no_others(nodes: Nodes, reports: Reports, slips: Slips) -> None:
    sender = await pair(nodes, [])
    assert await sender.ref("book").ask("before") == "before"
    slips(RedisLink, "_hear")

    with pytest.raises(AskTimeout):
        await sender.ref("book").ask("lost", timeout=0.2)
    assert await sender.ref("book").ask("after", timeout=20.0) == "after"

    [said] = told_of(reports)
    assert "an entry of answers" in said


async def test_what_cannot_be_sent_is_dropped_and_its_asker_told(nodes: Nodes, reports: Reports, slips: Slips) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries)
    slips(Outbox, "_frames")

    with pytest.raises(ActorStopped, match="it could not be sent: Slip: _frames"):
        await sender.ref("book").ask("dropped", timeout=20.0)
    assert await sender.ref("book").ask("after", timeout=20.0) == "after"

    assert [message for message, _ in entries] == ["after"]
    [said] = told_of(reports)
    assert "1 messages could not be sent" in said


@pytest.mark.parametrize("path", ["\udc00", "a/\ud83d"])
async def test_a_path_that_is_no_text_is_refused_where_it_is_used(nodes: Nodes, reports: Reports, path: str) -> None:
    sender = await pair(nodes, [])

    with pytest.raises(NotStorable, match="path of an actor without lone surrogates"):
        sender.ref("book", path)
    assert await sender.ref("book").ask("next") == "next"
    assert reports == []


async def test_who_is_overtaken_is_told_once(nodes: Nodes) -> None:
    first, second = await nodes.start([ChildSpec(Book, id="book")]), await nodes.start([ChildSpec(Book, id="book")])
    told: list[int] = []
    await first.link.serve("book", first.inbox_of("book"), incarnation=1, overtaken=lambda: told.append(1))

    await second.link.serve("book", second.inbox_of("book"), incarnation=2, overtaken=lambda: told.append(2))
    sender = await nodes.start()
    assert await sender.ref("book").ask("hello", timeout=20.0) == "hello"
    await eventually(lambda: told)
    await first.link.leave("book")
    await second.link.leave("book")

    assert told == [1]


async def test_what_went_to_many_endpoints_leaves_nothing_behind_and_goes_on_in_order(nodes: Nodes) -> None:
    entries: Entries = []
    receiver = await nodes.start([ChildSpec(Book, id="book", args=(entries,))])
    names = [f"node:{number}" for number in range(50)]
    for name in names:
        await receiver.serve(name, "book")
    sender = await nodes.start()

    for turn in range(3):
        for name in names:
            assert await sender.ref(name).ask((turn, name), timeout=20.0) == (turn, name)

    def is_forgotten() -> bool:
        gc.collect()
        return len(sender.link._outboxes) == len(receiver.link._answers) == 0

    await eventually(is_forgotten)
    assert [message for message, _ in entries] == [(turn, name) for turn in range(3) for name in names]
    assert receiver.link.counters["duplicates"] == 0


async def test_a_server_that_evicts_is_said_in_one_line(nodes: Nodes) -> None:
    path = servers.binary()
    if path is None:
        pytest.skip("needs a server of its own")
    server = RedisServer(path)
    server.start()
    try:
        with server.at.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(LinkRefused, match=r"maxmemory-policy allkeys-lru.*expected noeviction") as caught:
            await nodes.link(url=server.at.url).open()
        assert "\n" not in str(caught.value)
    finally:
        server.remove()
