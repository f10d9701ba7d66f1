"""One node process of a cluster: `python -m callboard.runtime.cluster.node ARGUMENT...`, those of `callboard`.

It runs what `callboard ARGUMENT...` would, and never outlives the supervisor that started it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from ..tether import end_with_parent, was_cut


def _tidy_up(arguments: Sequence[str]) -> None:
    """Remove the folder of ready files after the last node, where the supervisor was killed and cannot."""
    if not was_cut():
        return  # it is needed yet: by nodes that are not ready so far
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.rmdir(os.path.dirname(arguments[arguments.index("--ready-file") + 1]))


if __name__ == "__main__":
    end_with_parent()
    from ..cli.app import main

    code = main()
    _tidy_up(sys.argv)
    sys.exit(code)
