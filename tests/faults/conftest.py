"""Tests with real processes and real signals. The fixture `stage` is all that most of them need."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.stage import Stage, staged

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # no SIGKILL, SIGSTOP or sessions there


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A fresh store and its node processes."""
    async with staged(tmp_path) as stage:
        yield stage
