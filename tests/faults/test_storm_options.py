"""What a storm is asked for and cannot be: one line, exit code 2, and nothing is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).resolve().parents[2] / "bench" / "chaos.py"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            "--store sqlite --faults kill,cut",
            "--faults cut: sqlite has no server; expected some of kill,stop",
            id="a fault of a server, on a file",
        ),
        pytest.param(
            "--store redis --faults kill,rain",
            "--faults: expected some of kill,stop,cut,dropreply,restart, found 'rain'",
            id="no fault at all",
        ),
        pytest.param(
            "--store redis --tx",
            "--tx: redis has no transactions that an effect could be part of; expected sqlite or postgres",
            id="a transaction on Redis",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: str, expected: str) -> None:
    done = subprocess.run([sys.executable, CHAOS, *arguments.split()], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"chaos.py: {expected}\n")
