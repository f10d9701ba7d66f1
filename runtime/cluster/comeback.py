"""When a node process that crashed is started again. Pure.

At once almost, the first time: most crashes are single ones, and the node's jobs wait. Then later and later, so that a
program which cannot start does not keep a machine busy with trying.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from ...kernel.intensity import Backoff

PAUSES = Backoff(initial=0.1, factor=2.0, cap=10.0)
WELL_S = 10.0  # a node that was ready for as long ran well: what follows is no part of a row of crashes
LOOP = 5  # so many in a row are a loop


class Comeback(NamedTuple):
    """What follows a crash."""

    crashes: int  # in a row, with this one
    pause_s: float

    @property
    def is_loop(self) -> bool:
        """Whether starting it again does not help, as far as can be seen."""
        return self.crashes >= LOOP

    @property
    def begins_loop(self) -> bool:
        """Whether it is this crash that makes the row a loop: a person is told once."""
        return self.crashes == LOOP


def after_crash(before: int, ready_s: float, rng: random.Random) -> Comeback:
    """`before`: crashes in a row until now; `ready_s`: for how long the node had been ready, 0 if it never was."""
    crashes = 1 if ready_s >= WELL_S else before + 1
    return Comeback(crashes, PAUSES.delay_s(crashes, rng))
