"""examples/actors.py runs and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "actors.py"


@pytest.mark.wheel
def test_actors_keep_their_total_over_a_crash() -> None:
    # -P: the example's own folder must not hide the package that is installed.
    run = subprocess.run([sys.executable, "-P", str(EXAMPLE)], capture_output=True, text=True, timeout=30, check=True)

    assert run.stdout.splitlines() == [
        "total 16",
        "'till' crashed: ValueError: nothing costs -1",
        "total 16 after 1 restart",
    ]
