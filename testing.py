"""For tests of programs that use Callboard: `simulate` runs one deterministically, in virtual time.

`runtime.testing()` gives a `Testing`, for tests on an event loop of their own.
"""

from __future__ import annotations

from .runtime.sim_loop import NotSimulated, SimDeadlock
from .runtime.simulation import Machine, Simulation, simulate

__all__ = ["Machine", "NotSimulated", "SimDeadlock", "Simulation", "simulate"]
