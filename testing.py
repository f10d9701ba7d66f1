"""For tests of programs that use Callboard: `simulate` runs one deterministically, in virtual time.

Within it a `Machine` runs a part of the program and may crash or freeze, a `Network` stands between machines and store.

`runtime.testing()` gives a `Testing`, for tests on an event loop of their own.
"""

from __future__ import annotations

from .runtime.sim_loop import NotSimulated, SimDeadlock
from .runtime.sim_network import Carried, Network
from .runtime.simulation import Machine, Simulation, simulate
from .runtime.testing import NotIdle, Testing

__all__ = [
    "Carried",
    "Machine",
    "Network",
    "NotIdle",
    "NotSimulated",
    "SimDeadlock",
    "Simulation",
    "Testing",
    "simulate",
]
