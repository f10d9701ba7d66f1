"""The jobs of the benches: they do nothing, so that what is measured is all ours."""

from __future__ import annotations

import time

from callboard import Registry

registry = Registry()


@registry.job
async def noop(number: int, text: str) -> None:
    """Takes what most jobs take, and ends."""


@registry.job
async def latency(asked_ns: int) -> int:
    """Nanoseconds from the call of enqueue to here; one machine, one monotonic clock."""
    return time.monotonic_ns() - asked_ns
