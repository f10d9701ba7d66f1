"""Bad input: the store's URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callboard import Runtime
from callboard.storage.errors import InvalidStore

from .conftest import Cli, contents, refused

pytestmark = pytest.mark.anyio

URLS = {
    "mysql://localhost/jobs": "is of no known kind: expected memory://, sqlite:///relative.db or sqlite:////absolute.db",
    "jobs.db": "is of no known kind (a path alone is no URL): expected memory://",
    "SQLite3:///jobs.db": "is of no known kind",
    "sqlite://jobs.db": "a SQLite file has no host; write sqlite:///jobs.db",
    "sqlite:///": "names no file",
    "sqlite:///jobs.db?mode=ro": "a SQLite URL takes no options",
    "sqlite:///jobs\udcff.db": "expected UTF-8 text",
    "memory://jobs": "memory:// takes nothing after it",
}


@pytest.mark.parametrize("url", URLS)
async def test_unknown_store_url_scheme(folder: Path, url: str) -> None:
    runtime = Runtime(url)

    with refused(InvalidStore, by=URLS[url]):
        await runtime.__aenter__()

    assert not runtime.is_open
    assert contents(folder) == {}


@pytest.mark.parametrize("url", URLS)
def test_unknown_store_url_scheme_for_callers_without_a_loop(folder: Path, url: str) -> None:
    runtime = Runtime(url)

    with refused(InvalidStore, by=URLS[url]):
        runtime.job(unused).enqueue_sync()

    assert contents(folder) == {}


@pytest.mark.parametrize("url", [url for url in URLS if not url.startswith("memory")])
def test_unknown_store_url_scheme_at_the_command_line(refused_by_cli: Cli, url: str) -> None:
    for command in (["jobs", "list"], ["enqueue", "send"], ["doctor"]):
        assert URLS[url] in refused_by_cli(*command, "--store", url)


@pytest.mark.parametrize("store", [5, Path("jobs.db"), b"sqlite:///jobs.db"])
def test_a_store_that_is_no_text(store: Any) -> None:
    with refused(InvalidStore, by="store: expected a URL as text, such as 'sqlite:///jobs.db', found"):
        Runtime(store)


async def unused() -> None: ...
