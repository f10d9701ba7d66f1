"""`callboard doctor` on servers that are not as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.clocks import look_from_here
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server
from tests.support.servers.redis import RedisServer
from tests.support.urls import fresh_url

from .conftest import Cli

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, cli: Cli) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        assert cli("migrate", "--store", url).code == 0
        yield url


def findings(cli: Cli, url: str) -> dict[str, tuple[str, str]]:
    said = cli("doctor", "--json", "--store", url)
    assert said.code == 0, said.err
    assert "hidden" not in said.out
    return {row["subject"]: (row["level"], row["text"]) for row in said.json["findings"]}


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_postgres_that_answers_before_the_disk_has_it_is_told(cli: Cli, url: str) -> None:
    level, text = findings(cli, f"{url}&options=-c%20synchronous_commit%3Doff")["durability"]

    assert (level, "synchronous_commit off" in text) == ("warn", True)
    assert text.endswith("commits that were answered may be lost in a crash; set synchronous_commit on")


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_where_postgres_is_to_listen_is_tried(cli: Cli, url: str) -> None:
    nowhere = quote(f"postgresql://ana:hidden@127.0.0.1:{redis_server.free_port()}/x")
    direct = quote(postgres.url())

    assert findings(cli, f"{url}&notify=off")["wake-ups"] == (
        "ok",
        "notify=off: nodes look for work by themselves, as the setting poll says",
    )
    level, text = findings(cli, f"{url}&listen={direct}")["wake-ups"]
    assert (level, text.startswith("LISTEN on postgresql://")) == ("ok", True)
    level, text = findings(cli, f"{url}&listen={nowhere}")["wake-ups"]
    assert (level, text.startswith("no LISTEN: postgresql://127.0.0.1:")) == ("warn", True)


@pytest.mark.skipif(not postgres.is_private(), reason="needs the server's socket")
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_postgres_whose_notify_does_not_arrive_is_told(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a transaction pooler: LISTEN is taken, and nothing is heard. Here it listens on another database."""
    monkeypatch.setattr("callboard.storage.postgres.examine._HEARD_WITHIN_S", 0.2)
    elsewhere = quote(postgres.url().replace("/postgres?", "/template1?"))

    level, text = findings(cli, f"{url}&listen={elsewhere}")["wake-ups"]

    assert level == "warn"
    assert " hears no NOTIFY: name a way past the pooler by ?listen=, or say ?notify=off; until then " in text


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_a_server_far_away_is_told(cli: Cli, url: str) -> None:
    at = redis_server.shared()
    with FaultProxy((at.host, at.port)) as proxy:
        proxy.delay(0.03)
        assert isinstance(proxy.at, tuple)

        level, text = findings(cli, url.replace(str(at.port), str(proxy.at[1])))["connectivity"]

    assert level == "warn"
    assert text.endswith(" ms: each claim and each end of a job waits for it")


@pytest.mark.skipif(redis_server.binary() is None, reason="no redis-server of its own can be started")
def test_how_redis_keeps_what_it_acknowledged_is_told(cli: Cli) -> None:
    server = RedisServer(str(redis_server.binary()))
    server.start()
    try:
        assert cli("migrate", "--store", server.at.url).code == 0
        with server.at.client() as client:
            client.config_set("appendfsync", "always")
            always = findings(cli, server.at.url)["durability"]
            client.config_set("appendfsync", "no")
            never = findings(cli, server.at.url)["durability"]
            client.config_set("appendonly", "no")
            nothing = findings(cli, server.at.url)["durability"]
            client.execute_command("ACL", "SETUSER", "ana", "on", ">hidden", "~*", "&*", "+@all", "-config")
        hushed = findings(cli, server.at.url.replace("//", "//ana:hidden@"))["durability"]
    finally:
        server.remove()

    assert always == ("ok", "appendonly yes, appendfsync always: what was acknowledged outlives a power cut")
    assert (never[0], never[1].startswith("appendonly yes, appendfsync no: a power cut takes ")) == ("warn", True)
    assert (nothing[0], nothing[1].startswith("appendonly no: a restart loses ")) == ("warn", True)
    assert hushed == nothing


@pytest.mark.parametrize(("ahead_ms", "level"), [(0, "ok"), (900, "ok"), (-1500, "warn"), (60_000, "warn")])
async def test_clocks_that_are_apart_are_told(ahead_ms: int, level: str) -> None:
    clock = ManualClock()

    async def ask() -> int:
        return clock.wall_ms() + ahead_ms

    connectivity, found = await look_from_here(ask, clock)

    assert (connectivity.level, found.level) == ("ok", level)
    assert f"{abs(ahead_ms) / 1000:.3f} s {'behind' if ahead_ms < 0 else 'ahead of'} this machine's" in found.text
