"""A simulation in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_apart(what: str, *, hash_seed: str) -> str:
    """The line that another process prints of a simulation with seed 7; `what`: module:expression for its main."""
    module, _, main = what.partition(":")
    code = f"from callboard.testing import simulate; from {module} import *; simulate({main}, seed=7)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'bench'}"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return "".join(line for line in ran.stdout.splitlines(keepends=True) if line.startswith("SIM "))
