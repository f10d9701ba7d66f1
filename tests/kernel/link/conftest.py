"""A namespace of its own on a real server for each test, and nodes that are linked by it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kernel.link.nodes import Nodes
from tests.support.servers import redis as servers
from tests.support.servers.redis import RedisAt


@pytest.fixture(scope="module")
def at() -> RedisAt:
    if (why := servers.missing()) is not None:
        pytest.skip(why)
    return servers.shared()


@pytest.fixture
async def nodes(at: RedisAt) -> AsyncIterator[Nodes]:
    nodes = Nodes(at)
    yield nodes
    await nodes.close()
