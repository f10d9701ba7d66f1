"""How a bench says what it found: one line, the same as JSON, and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path


def tell(what: str, found: Mapping[str, object], path: Path) -> int:
    """Print and write it; 0 if its `verdict` is PASS, else 1. `problems`, if any, are told on stderr."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(what, *(f"{name}={value}" for name, value in found.items() if name != "problems"))
    problems = found.get("problems")
    for problem in problems if isinstance(problems, list) else ():
        print(f"  not passed: {problem}", file=sys.stderr)
    return 0 if found["verdict"] == "PASS" else 1
