"""Runtimes on every store that needs no server, and places for them on all stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from callboard import Runtime, Settings
from callboard.kernel.clock import SystemClock
from callboard.runtime.environment import machine_environment
from tests.support.stores import PLACES, Place


@pytest.fixture(params=["memory", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store for each test."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def runtime(store_url: str) -> Runtime:
    """A runtime that is not open yet; leases are short, so that a test of losing one does not take long."""
    return Runtime(store_url, settings=Settings(lease="2s", grace="5s"))


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty store of each kind."""
    kind = PLACES[request.param]
    if (missing := kind.missing()) is not None:
        pytest.skip(missing)
    async with kind.made(tmp_path, SystemClock()) as place:
        yield place


def runtime_at(place: Place, settings: Settings) -> Runtime:
    """A node of its own on that store."""
    environment = replace(machine_environment(), store_of=lambda url: place.handle())
    return Runtime("memory://", settings=settings, environment=environment, migrate=True)
