"""Opening a runtime: which stores it brings up to date by itself, and what it does with a server that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard import Runtime, Unavailable
from callboard.storage.errors import MigrationNeeded
from tests.support.servers.redis import free_port
from tests.support.urls import SERVERS, fresh_url

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


@pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)
async def test_an_embedded_store_is_brought_up_to_date_by_whoever_opens_it(url: str) -> None:
    async with Runtime(url) as runtime:
        assert (await runtime.enqueue("send", 1)).created


@pytest.mark.parametrize("url", SERVERS, indirect=True)
async def test_a_server_is_brought_up_to_date_only_when_asked(url: str) -> None:
    runtime = Runtime(url)
    with pytest.raises(
        MigrationNeeded, match=r"has no schema, .*: `callboard migrate --store .*` brings it up to date$"
    ):
        await runtime.__aenter__()
    assert not runtime.is_open

    async with Runtime(url, migrate=True):
        pass

    async with runtime:
        assert (await runtime.enqueue("send", 1)).created


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
async def test_a_server_that_is_not_there_is_told_at_once_and_may_be_opened_later(scheme: str) -> None:
    runtime = Runtime(f"{scheme}://user:secret@127.0.0.1:{free_port()}/0")

    for _ in range(2):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as told:
            await runtime.__aenter__()
        assert "secret" not in str(told.value)

    assert not runtime.is_open


async def test_without_a_loop_too_a_server_that_is_not_there_is_told_at_once() -> None:
    import anyio.to_thread

    runtime = Runtime(f"redis://127.0.0.1:{free_port()}/0")

    @runtime.job
    async def send() -> None: ...

    with pytest.raises(Unavailable):
        await anyio.to_thread.run_sync(send.enqueue_sync)
