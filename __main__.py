"""The command `callboard`, also as `python -m callboard`."""

from __future__ import annotations

import sys

from .runtime.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
