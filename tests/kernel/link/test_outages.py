"""The link when its server is cut off, forgets, or is none; and when somebody else's bytes lie in its streams."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgpack
import pytest

from callboard.kernel.child import ChildSpec
from callboard.kernel.codec import Undecodable
from callboard.kernel.errors import AskTimeout, LinkRefused, LinkUnavailable
from callboard.kernel.transport.link_frames import FULL, unpack_answer
from callboard.kernel.transport.message_codec import pack_message
from callboard.kernel.transport.redis_streams import RedisLink
from tests.kernel.link.nodes import GATES, Book, Node, Nodes
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisAt, RedisServer

pytestmark = pytest.mark.anyio

Entries = list[tuple[Any, tuple[str, int] | None]]


@pytest.fixture
def proxy(at: RedisAt) -> Iterator[FaultProxy]:
    with FaultProxy((at.host, at.port)) as proxy:
        yield proxy


def through(proxy: FaultProxy) -> str:
    assert isinstance(proxy.at, tuple)
    return f"redis://{proxy.at[0]}:{proxy.at[1]}/0"


async def pair(nodes: Nodes, entries: Entries, *, sends: str | None = None, receives: str | None = None) -> Node:
    """A node that serves `book`; the one that sends."""
    receiver = await nodes.start([ChildSpec(Book, id="book", args=(entries,))], url=receives)
    await receiver.serve("book", "book")
    return await nodes.start(url=sends)


async def test_what_is_sent_over_a_line_that_is_cut_at_any_byte_comes_once_and_in_order(
    nodes: Nodes, proxy: FaultProxy
) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries, sends=through(proxy))
    ref, rng, sent = sender.ref("book"), random.Random(4), 0

    for _ in range(20):
        before = proxy.passed
        proxy.cut_after(rng.randrange(1, 3000))
        while proxy.passed == before:
            await ref.tell(sent)
            sent += 1
            await asyncio.sleep(0)
    proxy.heal()
    assert await ref.ask("last", timeout=30.0) == "last"

    assert [message for message, _ in entries] == [*range(sent), "last"]


async def test_a_message_whose_acknowledgement_was_lost_comes_once(nodes: Nodes, proxy: FaultProxy) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries, sends=through(proxy))

    await sender.ref("book").tell(0)  # the server knows the script
    for number in range(1, 6):
        await eventually(partial(has_come, entries, number))
        await eventually(partial(is_sent, sender))
        proxy.drop_reply()
        await sender.ref("book").tell(number)
        await eventually(partial(has_dropped, proxy, number))
    assert await sender.ref("book").ask("last", timeout=30.0) == "last"

    assert [message for message, _ in entries] == [*range(6), "last"]
    assert nodes.duplicates() == 0  # the server took each once


async def test_what_a_receiver_reads_over_a_line_that_is_cut_comes_once_and_in_order(
    nodes: Nodes, proxy: FaultProxy
) -> None:
    entries: Entries = []
    sender = await pair(nodes, entries, receives=through(proxy))
    ref, sent = sender.ref("book"), 0

    for cut in range(15):
        for _ in range(300):
            await ref.tell(sent)
            sent += 1
        if cut % 2:
            proxy.drop_reply()
        else:
            proxy.cut()
        assert await ref.ask(sent, timeout=30.0) == sent
        sent += 1

    assert [message for message, _ in entries] == list(range(sent))


async def test_an_ask_outlives_a_cut_and_ends_at_its_deadline_when_nobody_comes_back(
    nodes: Nodes, proxy: FaultProxy
) -> None:
    GATES["slow"] = asyncio.Event()
    sender = await pair(nodes, [], sends=through(proxy))
    asking = asyncio.create_task(sender.ref("book").ask(("wait", "slow"), timeout=30.0))
    with nodes.at.client() as client:
        await eventually(lambda: nodes.waiting(client) == 1)
    proxy.cut()
    GATES["slow"].set()
    assert await asking == ("wait", "slow")

    proxy.refuse()
    with pytest.raises(AskTimeout):
        await sender.ref("book").ask("nobody", timeout=0.3)
    proxy.heal()
    assert await sender.ref("book").ask("back", timeout=30.0) == "back"


async def test_a_line_that_goes_silent_is_given_up(
    nodes: Nodes, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callboard.kernel.transport.link_line.ANSWER_S", 0.3)
    monkeypatch.setattr("callboard.kernel.transport.link_serving.ANSWER_S", 0.3)
    monkeypatch.setattr("callboard.kernel.transport.link_serving.BLOCK_S", 0.2)
    entries: Entries = []
    sender = await pair(nodes, entries, sends=None, receives=through(proxy))
    assert await sender.ref("book").ask("before") == "before"

    proxy.silence()

    assert await sender.ref("book").ask("after", timeout=30.0) == "after"
    assert [message for message, _ in entries] == ["before", "after"]


async def test_a_server_that_forgot_its_scripts_is_told_them_again(nodes: Nodes) -> None:
    sender = await pair(nodes, [])
    assert await sender.ref("book").ask("before") == "before"

    with nodes.at.client() as client:
        client.script_flush()

    assert await sender.ref("book").ask("after", timeout=20.0) == "after"


async def test_a_server_that_forgot_everything_is_served_again(nodes: Nodes) -> None:
    sender = await pair(nodes, [])
    assert await sender.ref("book").ask("before") == "before"

    with nodes.at.client() as client:
        client.delete(*nodes.keys(client))

    assert await sender.ref("book").ask("after", timeout=20.0) == "after"


def has_come(entries: Entries, count: int) -> bool:
    return len(entries) == count


def is_sent(sender: Node) -> bool:
    """Whether the server has said so: nothing is under way."""
    return not sender.link.outbox("book").is_busy


def has_dropped(proxy: FaultProxy, count: int) -> bool:
    return proxy.dropped == count


# Bytes of somebody else.


def packed(*frames: object, version: int = 1) -> bytes:
    content: bytes = msgpack.packb((version, frames))
    return content


def _made_within() -> type:
    @dataclass
    class Within:
        number: int

    return Within


Hidden = _made_within()  # found here by a name, but its instances travel by none

GOOD = packed(("", pack_message("good")))
FOREIGN: dict[str, dict[Any, Any]] = {
    "other fields": {"a": "b"},
    "no number": {"s": "x", "n": "one", "m": GOOD},
    "no payload": {"s": "x", "n": "1"},
    "not ours": {"s": "x", "n": "1", "m": b"\xc1\xff\x00"},
    "truncated": {"s": "x", "n": "1", "m": GOOD[:-3]},
    "another version": {"s": "x", "n": "1", "m": packed(("", b""), version=99)},
    "no list": {"s": "x", "n": "1", "m": msgpack.packb((1, {"a": 1}))},
    "a frame that is none": {"s": "x", "n": "1", "m": packed((1, 2, 3))},
    "an ask that is none": {"s": "x", "n": "1", "m": packed(("", b"", "x", 1, []))},
    "an unknown class": {"s": "x", "n": "1", "m": packed(("", b"\x01" + msgpack.packb(["nowhere:Nothing", 1])))},
    "a class that does not travel": {
        "s": "x",
        "n": "1",
        "m": packed(("", b"\x01" + msgpack.packb([f"{__name__}:Hidden", 1]))),
    },
    "a sender of bytes": {"s": b"\xff\xfe", "n": "1", "m": packed(("", b"\xff"))},
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_bytes_of_somebody_else_are_set_aside_and_the_reader_lives(nodes: Nodes, name: str) -> None:
    entries: Entries = []
    receiver = await nodes.start([ChildSpec(Book, id="book", args=(entries,))])
    await receiver.serve("book", "book")
    sender = await nodes.start()
    assert await sender.ref("book").ask("before") == "before"

    with nodes.at.client() as client:
        (stream,) = (key for key in nodes.keys(client) if b":in:" in key or key.endswith(b"in:book"))
        client.xadd(stream, FOREIGN[name])
        assert await sender.ref("book").ask("after", timeout=20.0) == "after"

        assert receiver.link.counters["dead_letters"] == 1
        letters: Any = await eventually(lambda: [client.xrange(key) for key in nodes.keys(client) if b"dead" in key])
        ((_, letter),) = letters[0]
        content = FOREIGN[name].get("m")
        assert letter[b"content"]
        assert content is None or letter[b"why"]
        await eventually(lambda: nodes.waiting(client) == 0)
    assert [message for message, _ in entries] == ["before", "after"]


async def test_answers_of_somebody_else_are_set_aside_and_the_asker_lives(nodes: Nodes) -> None:
    sender = await pair(nodes, [])
    assert await sender.ref("book").ask("before") == "before"

    with nodes.at.client() as client:
        (stream,) = (key for key in nodes.keys(client) if b":answers:" in key)
        for fields in FOREIGN.values():
            client.xadd(stream, fields)
        for frame in ((), (None,), ("x", 1, 2), (1, 77, b""), (10**9, 0, b"")):
            client.xadd(stream, {"m": packed(frame)})

    assert await sender.ref("book").ask("after", timeout=20.0) == "after"
    assert sender.link.counters["dead_letters"] > 0


@pytest.mark.parametrize("capacity", [float("inf"), float("nan"), None, "many"], ids=str)
def test_an_answer_whose_content_is_none_is_undecodable(capacity: object) -> None:
    with pytest.raises(Undecodable):
        unpack_answer([1, FULL, capacity], "book", 1.0)


async def test_dead_letters_are_bounded(nodes: Nodes) -> None:
    receiver = await nodes.start([ChildSpec(Book, id="book")])
    await receiver.serve("book", "book")
    sender = await nodes.start()
    await sender.ref("book").ask("before")

    with nodes.at.client() as client:
        stream = next(key for key in nodes.keys(client) if b":in:" in key)
        pipe = client.pipeline()
        for number in range(3000):
            pipe.xadd(stream, {"a": number})
        pipe.execute()

        await eventually(lambda: receiver.link.counters["dead_letters"] == 3000 and nodes.waiting(client) == 0)
        dead = next(key for key in nodes.keys(client) if b":dead" in key)
        assert await eventually(lambda: client.xlen(dead)) <= 1200


# A server that cannot be used.


async def test_a_server_that_does_not_answer_is_said_in_one_line(nodes: Nodes) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        link = nodes.link(url=f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")

        with pytest.raises(LinkUnavailable, match=r"link redis://127.0.0.1:\d+/0 does not answer") as caught:
            await link.open()

    assert "\n" not in str(caught.value)


async def refused(link: RedisLink) -> str:
    with pytest.raises(LinkRefused) as caught:
        await link.open()
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_server_of_another_kind_is_said_in_one_line(nodes: Nodes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    try:
        assert "no Redis server" in await refused(nodes.link(url=f"redis://127.0.0.1:{port}/0"))
    finally:
        other.close()


async def test_an_old_server_is_said_in_one_line(nodes: Nodes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = b"role:master\r\nredis_version:6.0.16\r\n"
        while await reader.read(1000):
            writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    try:
        assert "Redis 6.0.16, expected 6.2 or newer" in await refused(nodes.link(url=f"redis://127.0.0.1:{port}/0"))
    finally:
        other.close()


async def test_a_wrong_password_is_said_in_one_line_without_it(nodes: Nodes) -> None:
    path = servers.binary()
    if path is None:
        pytest.skip("needs a server of its own")
    server = RedisServer(path)
    server.start()
    try:
        at = server.at
        with at.client() as client:
            client.config_set("requirepass", "open sesame")
        said = await refused(nodes.link(url=f"redis://:closed%20word@{at.host}:{at.port}/0"))
        assert "refused the user or the password" in said
        assert "closed" not in said
        assert "password" in await refused(nodes.link(url=f"redis://{at.host}:{at.port}/0"))
        link = nodes.link(url=f"redis://:open%20sesame@{at.host}:{at.port}/0")
        await link.open()
        await link.close()
    finally:
        server.remove()
