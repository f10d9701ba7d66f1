"""Runtimes on every store that needs no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard import Runtime, Settings


@pytest.fixture(params=["memory", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store for each test."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def runtime(store_url: str) -> Runtime:
    """A runtime that is not open yet; leases are short, so that a test of losing one does not take long."""
    return Runtime(store_url, settings=Settings(lease="2s", grace="5s"))
