"""The tests' own tools do catch what they are for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import asyncpg
import pytest

from tests.support import leaks
from tests.support.eventually import eventually, eventually_sync
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import postgres


async def test_eventually_waits_for_the_first_true_value() -> None:
    values = iter([0, 0, 7])

    assert await eventually(lambda: next(values)) == 7


async def test_eventually_awaits_an_async_probe_and_takes_its_assertion_for_not_yet() -> None:
    calls = 0

    async def probe() -> str:
        nonlocal calls
        calls += 1
        assert calls == 3
        return "done"

    assert await eventually(probe) == "done"


async def test_eventually_gives_up_with_the_last_assertion_as_cause() -> None:
    def probe() -> bool:
        raise AssertionError("still closed")

    with pytest.raises(AssertionError, match=r"not true within 0\.01 s.*still closed") as caught:
        await eventually(probe, within_s=0.01)

    assert str(caught.value.__cause__) == "still closed"


def test_eventually_sync_gives_up_with_the_last_value() -> None:
    with pytest.raises(AssertionError, match="last: 0"):
        eventually_sync(lambda: 0, within_s=0.01)


@pytest.mark.both_loops
async def test_both_loops_runs_on_the_loop_it_names(anyio_backend: tuple[str, dict[str, bool]]) -> None:
    module = type(asyncio.get_running_loop()).__module__

    assert module.startswith("uvloop") == anyio_backend[1]["use_uvloop"]


def test_a_thread_left_running_is_reported() -> None:
    stop = threading.Event()
    before = leaks.holdings()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    thread.start()

    found = leaks.leaked(before)
    stop.set()
    thread.join()

    assert found == ["thread forgotten"]
    assert leaks.leaked(before) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open files in /proc")
def test_an_open_file_and_a_child_process_are_reported() -> None:
    before = leaks.holdings()
    mine, other = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=mine.fileno())

    found = leaks.leaked(before)
    mine.close()
    other.close()
    child.wait()

    assert [line.split()[0] for line in found] == ["child", "open", "open"]
    assert leaks.leaked(before) == []


async def test_a_task_left_running_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "GRACE_S", 0.01)
    before = asyncio.all_tasks()
    forgotten = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        await leaks.tasks_gone(before)

    forgotten.cancel()
    await asyncio.gather(forgotten, return_exceptions=True)
    await leaks.tasks_gone(before)


def serve(server: socket.socket, heard: list[bytes]) -> None:
    """Answer every connection's lines with themselves, until the socket is closed."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb", buffering=0) as stream, contextlib.suppress(OSError):
            for line in stream:
                heard.append(line)
                stream.write(line)


@pytest.fixture
def echo() -> Iterator[tuple[FaultProxy, list[bytes]]]:
    """A proxy before a server that answers each line with itself, and the lines that it has heard."""
    server = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []
    thread = threading.Thread(target=serve, args=(server, heard))
    thread.start()
    with FaultProxy(server.getsockname()) as proxy:
        yield proxy, heard
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def dial(proxy: FaultProxy) -> socket.socket:
    assert isinstance(proxy.at, tuple)
    return socket.create_connection(proxy.at, timeout=10)


def test_a_cut_connection_is_reset_and_the_next_one_passes(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, _ = echo
    with dial(proxy) as first:
        first.sendall(b"one\n")
        assert first.recv(100) == b"one\n"

        assert proxy.cut() == 1

        with pytest.raises(ConnectionResetError):
            first.recv(100)
    with dial(proxy) as second:
        second.sendall(b"two\n")
        assert second.recv(100) == b"two\n"


def test_a_dropped_reply_was_heard_by_the_server(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, heard = echo
    proxy.drop_reply(after=1)
    with dial(proxy) as client:
        client.sendall(b"one\n")
        assert client.recv(100) == b"one\n"
        client.sendall(b"two\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)

    assert proxy.dropped == 1
    assert heard == [b"one\n", b"two\n"]


def test_what_is_stalled_comes_once_it_is_healed(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, _ = echo
    with dial(proxy) as client:
        client.sendall(b"one\n")
        assert client.recv(100) == b"one\n"
        proxy.stall("s2c")
        client.sendall(b"two\n")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(100)

        proxy.heal()

        client.settimeout(10)
        assert client.recv(100) == b"two\n"


def test_a_connection_is_cut_at_the_byte_that_was_named(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, heard = echo
    proxy.cut_after(6)
    with dial(proxy) as client:
        client.sendall(b"one\ntwo\nthree\n")
        eventually_sync(lambda: heard)
        with pytest.raises(ConnectionResetError):
            client.recv(100)

    eventually_sync(lambda: heard == [b"one\n", b"tw"])


def test_who_is_refused_finds_nobody(echo: tuple[FaultProxy, list[bytes]]) -> None:
    proxy, _ = echo
    proxy.refuse()

    def call() -> bytes:
        with dial(proxy) as client:
            return client.recv(100)

    with pytest.raises(ConnectionResetError):  # while connecting, or after
        call()

    proxy.heal()

    with dial(proxy) as client:
        client.sendall(b"one\n")
        assert client.recv(100) == b"one\n"


@pytest.mark.skipif(bool(postgres.missing()), reason=str(postgres.missing()))
async def test_a_private_postgres_is_killed_and_starts_again_on_its_data() -> None:
    server = await asyncio.to_thread(postgres.PostgresServer)
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        for number in (signal.SIGQUIT, signal.SIGKILL):
            await asyncio.to_thread(server.kill, number)
            connection.terminate()
            with pytest.raises((ConnectionError, FileNotFoundError)):
                await asyncpg.connect(server.url)
            await asyncio.to_thread(server.start_again)
            connection = await asyncpg.connect(server.url)
            assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()
    finally:
        await asyncio.to_thread(server.stop)
