"""What a node takes from outside itself, and a simulation replaces: time, chance, threads."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from ..kernel.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Environment:
    """Handed to a runtime when it is made."""

    clock: Clock
    rng: random.Random
    entropy: Callable[[int], bytes]
    runs_threads: bool = True  # False: nothing may leave the event loop


simulated: ContextVar[Environment | None] = ContextVar("callboard_simulated", default=None)


def system_environment() -> Environment:
    """The machine's own, or the simulation's while one runs."""
    return simulated.get() or Environment(SystemClock(), random.Random(), os.urandom)
