"""The connection to Redis on a real server: order, errors, time-outs, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import exceptions as e

from callboard.kernel.transport.redis_connection import RedisConnection, RedisTarget
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisAt

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]


@pytest.fixture(scope="module")
def at() -> RedisAt:
    if (why := servers.missing()) is not None:
        pytest.skip(why)
    return servers.shared()


@pytest.fixture
async def connection(at: RedisAt) -> AsyncIterator[RedisConnection]:
    connection = await opened(RedisTarget(at.host, at.port))
    yield connection
    await connection.close()


@pytest.fixture
def proxy(at: RedisAt) -> Iterator[FaultProxy]:
    with FaultProxy((at.host, at.port)) as proxy:
        yield proxy


async def opened(target: RedisTarget, *, timeout_s: float | None = 5.0) -> RedisConnection:
    return await RedisConnection.open(target, connect_s=5.0, timeout_s=timeout_s)


def through(proxy: FaultProxy) -> RedisTarget:
    assert isinstance(proxy.at, tuple)
    return RedisTarget(*proxy.at)


async def test_calls_under_way_are_answered_each_with_its_own(connection: RedisConnection) -> None:
    answers = await asyncio.gather(*(connection.call("ECHO", str(number)) for number in range(5000)))

    assert answers == [str(number).encode() for number in range(5000)]


async def test_words_of_every_kind_go_as_they_are(connection: RedisConnection) -> None:
    await connection.call("SET", b"conn:\x00\r\n\xff", "ünï", "PX", 60_000)

    assert await connection.call("GET", b"conn:\x00\r\n\xff") == "ünï".encode()
    assert await connection.call("GET", "conn:none") is None
    assert await connection.call("EVAL", "return {1, 'two', {redis.status_reply('OK')}}", 0) == [1, b"two", [b"OK"]]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("EVALSHA", "0" * 40, 0), e.NoScriptError),
        (("NONSENSE",), e.ResponseError),
        (("SELECT", 99_999), e.ResponseError),
    ],
)
async def test_an_answer_that_is_an_error_is_raised_and_the_next_goes_on(
    connection: RedisConnection, words: tuple[str, ...], kind: type[Exception]
) -> None:
    refused, taken = connection.call(*words), connection.call("PING")

    with pytest.raises(kind):
        await refused
    assert await taken == b"PONG"


async def test_a_caller_that_gave_up_takes_nobody_elses_answer(connection: RedisConnection) -> None:
    given_up = connection.call("ECHO", "first")
    given_up.cancel()

    assert await connection.call("ECHO", "second") == b"second"


async def test_without_an_answer_in_time_the_connection_is_broken(proxy: FaultProxy) -> None:
    connection = await opened(through(proxy), timeout_s=0.2)
    proxy.silence()

    answers = await asyncio.gather(*(connection.call("PING") for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [e.TimeoutError] * 3
    assert len(set(map(id, answers))) == 3
    assert connection.is_broken
    with pytest.raises(e.TimeoutError):
        await connection.call("PING")
    await connection.close()


async def test_a_connection_without_a_time_limit_waits(proxy: FaultProxy) -> None:
    connection = await opened(through(proxy), timeout_s=None)
    waiting = connection.call("BLPOP", "conn:empty", "0.3")

    assert await waiting is None
    await connection.close()


async def test_a_cut_fails_what_is_under_way(proxy: FaultProxy) -> None:
    connection = await opened(through(proxy))
    waiting = connection.call("BLPOP", "conn:empty", "0")

    proxy.cut()

    with pytest.raises(e.ConnectionError):
        await waiting
    assert connection.is_broken
    with pytest.raises(e.ConnectionError):
        await connection.call("PING")
    await connection.close()


async def test_closing_fails_what_is_under_way_and_leaves_no_socket(proxy: FaultProxy) -> None:
    connection = await opened(through(proxy))
    waiting = connection.call("BLPOP", "conn:empty", "0")

    await connection.close()
    await connection.close()

    with pytest.raises(e.ConnectionError):
        await waiting
    await eventually(lambda: proxy.connections == 0)


async def test_a_wrong_password_a_missing_database_and_no_server_are_told_apart(at: RedisAt) -> None:
    with pytest.raises(e.AuthenticationError):
        await opened(RedisTarget(at.host, at.port, password="wrong"))
    with pytest.raises(e.ResponseError, match="DB index"):
        await opened(RedisTarget(at.host, at.port, db=99_999))
    with pytest.raises(e.ConnectionError):
        await opened(RedisTarget("127.0.0.1", servers.free_port()))


async def test_what_is_no_redis_server_is_said_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with pytest.raises(e.InvalidResponse):
        await opened(RedisTarget("127.0.0.1", port))
    server.close()
    await server.wait_closed()


async def test_a_server_that_does_not_greet_is_given_up_in_time(proxy: FaultProxy) -> None:
    proxy.stall("s2c")

    with pytest.raises(e.TimeoutError, match="no connection within"):
        await RedisConnection.open(through(proxy), connect_s=0.2, timeout_s=5.0)
    proxy.heal()


async def test_what_is_published_arrives_between_the_answers(at: RedisAt, connection: RedisConnection) -> None:
    heard: list[bytes] = []
    target = RedisTarget(at.host, at.port)
    listener = await RedisConnection.open(target, connect_s=5.0, timeout_s=5.0, on_message=heard.append)
    await listener.call("SUBSCRIBE", "conn:channel")

    pings = [listener.call("PING") for _ in range(100)]
    told = [connection.call("PUBLISH", "conn:channel", f"\x00{number}") for number in range(100)]
    pings += [listener.call("PING") for _ in range(100)]

    assert await asyncio.gather(*told) == [1] * 100
    assert await asyncio.gather(*pings) == [[b"pong", b""]] * 200
    await eventually(lambda: len(heard) == 100)
    assert heard == [f"\x00{number}".encode() for number in range(100)]
    await listener.close()


async def test_whoever_waits_for_the_end_of_a_connection_hears_of_it(proxy: FaultProxy) -> None:
    connection = await opened(through(proxy))
    waiting = asyncio.ensure_future(connection.until_closed())
    await connection.call("PING")
    assert not waiting.done()

    proxy.cut()
    await waiting

    assert connection.is_broken
    await connection.until_closed()
    await connection.close()
