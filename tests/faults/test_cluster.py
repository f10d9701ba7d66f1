"""A cluster under load: nodes killed, rolled and drained, and every job done. `bench/cluster.py` is the full size."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.processes import BENCH, clean_environment
from tests.support.servers import redis as redis_server


@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_kills_a_roll_and_a_drain_lose_nothing(store: str, tmp_path: Path) -> None:
    if store == "redis" and (why := redis_server.missing()) is not None:
        pytest.skip(why)
    found = tmp_path / "cluster.json"
    command = [sys.executable, str(BENCH / "cluster.py"), "--store", store, "--json", str(found)]
    # So few that they last for as long as the course may take on a slow machine, whose pace is not asked for here.
    command += ["--jobs", "1000", "--nodes", "3", "--slots", "4", "--rate", "8", "--longest-gap", "60", "--seed", "7"]

    ran = await asyncio.to_thread(
        subprocess.run, command, env=clean_environment(), capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = json.loads(found.read_text())
    assert (figures["lost"], figures["kills"], figures["fewest_ready_while_rolling"]) == (0, 3, 2)
