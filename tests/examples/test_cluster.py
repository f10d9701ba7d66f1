"""examples/cluster: four nodes, a singleton, a kill and a drain, as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.urls import fresh_url

from .test_examples import EXAMPLES


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_the_theatre_plays_through_a_kill_and_a_drain(store: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    with fresh_url(store, tmp_path) as url:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "cluster" / "play.py"],
            cwd=tmp_path,
            env={**environment, "CALLBOARD_STORE": url},
            capture_output=True,
            encoding="utf-8",
            timeout=55,
        )

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "killed the node on which the clerk lives"
    assert lines[2].startswith("the clerk lives on another node, in term ")
    assert lines[3].startswith("asked by a ref from outside") is (store == "redis")  # which is a link by itself
    assert lines[-3:-1] == ["all nodes told to end; the cluster ended with code 0", "1500 of 1500 tickets sold"]
    sold = [line.split()[1] for line in (tmp_path / "notes.txt").read_text().splitlines() if line.startswith("sold")]
    assert set(sold) == {str(seat) for seat in range(1500)}
