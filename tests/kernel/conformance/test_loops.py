"""The suite runs on the loops it says."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import Backend

pytestmark = pytest.mark.both_loops


async def test_the_loop_is_the_one_asked_for(anyio_backend: Backend) -> None:
    module = type(asyncio.get_running_loop()).__module__

    assert module.startswith("uvloop") == anyio_backend[1]["use_uvloop"]
