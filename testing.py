"""For tests of programs that use Callboard: `simulate` runs one deterministically, in virtual time.

`runtime.testing()` gives a `Testing`, for tests on an event loop of their own.
"""

from __future__ import annotations

from .runtime.sim_loop import NotSimulated, SimDeadlock
from .runtime.simulation import Machine, Simulation, simulate
from .runtime.testing import NotIdle, Testing

__all__ = ["Machine", "NotIdle", "NotSimulated", "SimDeadlock", "Simulation", "Testing", "simulate"]
