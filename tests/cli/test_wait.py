"""`--wait`: a server that is not there yet is waited for, with one line that says so, and for no longer than said."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from redis import exceptions as redis_errors

from callboard.storage.errors import InvalidStore, StorageError, Unavailable
from callboard.storage.postgres.refusals import refusal_of
from callboard.storage.redis.faults import translate
from tests.support.eventually import eventually_sync
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server

from .conftest import Cli

NOWHERE = ["postgresql://user:secret@127.0.0.1:{port}/jobs", "redis://user:secret@127.0.0.1:{port}/0"]
COMMANDS = [["jobs", "list"], ["queues", "list"], ["enqueue", "send"], ["doctor"], ["prune"], ["migrate"], ["demo"]]


@pytest.mark.parametrize("url", NOWHERE)
def test_a_server_that_does_not_come_ends_in_one_line_more(cli: Cli, url: str, folder: Path) -> None:
    port = redis_server.free_port()
    began = time.monotonic()

    said = cli("jobs", "list", "--wait", "0.3", "--store", url.format(port=port))

    assert time.monotonic() - began >= 0.3
    assert (said.code, said.out) == (1, "")
    waiting, gave_up = said.err.splitlines()
    assert waiting.startswith(f"callboard: {url.partition(':')[0]}://127.0.0.1:{port}/")
    assert waiting.endswith("; waiting up to 0.3 s for it")
    assert gave_up.endswith("; waited 0.3 s for it")
    assert "secret" not in said.err


@pytest.mark.parametrize("url", NOWHERE)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_every_command_waits_as_long_as_it_is_told(cli: Cli, command: list[str], url: str, folder: Path) -> None:
    (folder / "one.py").touch()
    where = ["--dir", "."] if command == ["demo"] else []

    said = cli(*command, *where, "--wait", "0", "--store", url.format(port=redis_server.free_port()))

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("callboard: ")
    assert said.err.count("\n") == 1
    assert "wait" not in said.err


@pytest.mark.parametrize("text", ["soon", "-1", "1 h"])
def test_a_wait_that_is_no_length_of_time_is_refused(cli: Cli, text: str) -> None:
    said = cli("doctor", f"--wait={text}")

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("callboard: --wait: expected ")


def test_a_name_that_nobody_knows_and_a_socket_that_is_missing_are_waited_for(cli: Cli, folder: Path) -> None:
    for url in (
        "postgresql://no-such-host.invalid/jobs",
        f"postgresql:///jobs?host={folder}",
        "redis://no-such-host.invalid",
    ):
        said = cli("migrate", "--wait", "0.01", "--store", url)

        assert (said.code, said.err.count("; waited 0.01 s for it")) == (1, 1), said.err


@pytest.mark.skipif(redis_server.binary() is None, reason="no redis-server of its own can be started")
def test_a_redis_that_comes_late_is_used(folder: Path) -> None:
    server = redis_server.RedisServer(str(redis_server.binary()))
    try:
        with started("migrate", "--store", server.at.url) as command:
            assert f"redis://127.0.0.1:{server.at.port}/0" in line_of(command, "; waiting up to 30 s for it")
            server.start()

            assert ended(command) == (0, "", f"{server.at.url} had no schema, and is up to date now\n")
    finally:
        server.remove()


@pytest.mark.skipif(redis_server.binary() is None, reason="no redis-server of its own can be started")
def test_a_redis_that_is_still_loading_is_waited_for(folder: Path) -> None:
    path = str(redis_server.binary())
    slow = ("--key-load-delay", "300000", "--rdbcompression", "no", "--appendonly", "no")
    server = redis_server.RedisServer(path, *slow)
    try:
        server.start()
        with server.at.client() as client:
            client.mset({f"key{number}": bytes(3 << 20) for number in range(20)})  # it answers once in 2 MiB
            client.save()
        server.stop()
        settings = ["--port", str(server.at.port), "--dir", str(server.folder), "--save", "", *slow]
        with subprocess.Popen([path, *settings], stdout=subprocess.DEVNULL) as loading:
            try:
                eventually_sync(lambda: is_loading(server.at))
                with started("migrate", "--store", server.at.url) as command:
                    assert "loading the dataset" in line_of(command, "; waiting up to 30 s for it")
                    loading.kill()
                    loading.wait()
                    (server.folder / "dump.rdb").unlink()
                    server.start()
                    assert ended(command)[0] == 0
            finally:
                loading.kill()
    finally:
        server.remove()


@pytest.mark.skipif(not postgres.is_private() or postgres.missing() is not None, reason="no PostgreSQL of its own")
def test_a_postgres_that_is_down_is_waited_for_by_a_node(folder: Path) -> None:
    (folder / "tool.py").write_text("from callboard import Runtime\nruntime = Runtime(migrate=True)\n")
    server = postgres.PostgresServer()
    try:
        server.kill()
        with started("run", "tool:runtime", "--store", server.url, "--ready-file", "ready") as node:
            assert str(server.folder) in line_of(node, "; waiting up to 30 s for it")
            server.start_again()
            eventually_sync(lambda: (folder / "ready").exists())
            node.terminate()
            assert node.wait(30) == 0
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_waits_ends_when_told(folder: Path, number: signal.Signals) -> None:
    (folder / "tool.py").write_text("from callboard import Runtime\nruntime = Runtime()\n")
    url = f"redis://127.0.0.1:{redis_server.free_port()}/0"

    with started("run", "tool:runtime", "--store", url, "--log-format", "json") as node:
        assert line_of(node, "; waiting up to 30 s for it").startswith("{")
        node.send_signal(number)

        code, out, err = ended(node)

    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert "node starts" not in err


CAN_PASS = (
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    ConnectionRefusedError(111, "refused"),
    TimeoutError(),
)
CANNOT_PASS = (
    asyncpg.InvalidPasswordError("password authentication failed"),
    asyncpg.InvalidCatalogNameError('database "nowhere" does not exist'),
    asyncpg.InsufficientPrivilegeError("permission denied"),
    asyncpg.UndefinedObjectError('unrecognized configuration parameter "shema"'),
    ConnectionError('PostgreSQL server at "h:1" rejected SSL upgrade'),
    PermissionError(13, "Permission denied"),
)


@pytest.mark.parametrize("error", CAN_PASS, ids=lambda error: type(error).__name__)
def test_what_may_pass_on_postgres_is_waited_for(error: Exception) -> None:
    assert type(opening(error)) is Unavailable


@pytest.mark.parametrize("error", CANNOT_PASS, ids=lambda error: type(error).__name__)
def test_what_cannot_pass_on_postgres_is_told_at_once(error: Exception) -> None:
    assert type(opening(error)) is InvalidStore


def test_what_may_pass_on_redis_is_waited_for() -> None:
    for error in (
        redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
        redis_errors.ConnectionError("max number of clients reached"),
        redis_errors.ConnectionError("Error 111 connecting"),
        redis_errors.TimeoutError("Timeout connecting to server"),
    ):
        assert type(translate(error, "here")) is Unavailable, error


def opening(error: Exception) -> StorageError:
    return refusal_of(error, "here", is_opening=True)


def is_loading(at: redis_server.RedisAt) -> bool:
    """Asked without the client, which would ask again until it is no more."""
    try:
        with socket.create_connection((at.host, at.port), timeout=10) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith(b"-LOADING")
    except ConnectionError:
        return False


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`callboard`, as a process of its own, in the current directory."""
    command: Sequence[str] = [sys.executable, "-m", "callboard", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str], part: str) -> str:
    """The first line on stderr, which has `part`; the test's time limit ends the wait."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert part in line, line
    return line


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=50)
    return process.returncode, out, err
