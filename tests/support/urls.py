"""Store URLs for tests that go through the whole program: fresh at first, taken away at the end."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import postgres
from tests.support.servers import redis as redis_server

KINDS = ("memory", "sqlite", "postgres", "redis")
SERVERS = ("postgres", "redis")
_numbers = itertools.count(1)


@contextmanager
def fresh_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a store that nobody has opened yet. Skips the test where there is no server of that kind.

    A test's name must hold that of the server, so that it is started before the first test: see tests/conftest.py.
    """
    name = f"fresh_{os.getpid()}_{next(_numbers)}"
    if kind == "memory":
        yield "memory://"
    elif kind == "sqlite":
        yield f"sqlite:///{folder / name}.db"
    elif kind == "postgres":
        _skip(postgres.missing())
        yield postgres.url_of(name)
        asyncio.run(postgres.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
    else:
        _skip(redis_server.missing())
        server = redis_server.shared()
        yield f"{server.url}?namespace={name}"
        with server.client() as client:
            keys = list(client.scan_iter(f"{{{name}}}:*", count=1000))
            if keys:
                client.unlink(*keys)


def _skip(why: str | None) -> None:
    if why is not None:
        pytest.skip(why)
