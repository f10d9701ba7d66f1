"""A server as seen from this machine: how fast it answers, and how far its clock is from ours. For `doctor`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..kernel.clock import Clock
from .records import Finding

_ASKED = 3  # the quickest answer tells most
_SLOW_MS = 50.0
_APART_MS = 1000


async def look_from_here(ask: Callable[[], Awaitable[int]], clock: Clock) -> list[Finding]:
    """Findings on connectivity and clock; `ask` gives the server's wall clock in milliseconds."""
    took_ms, ahead_ms = min([await _once(ask, clock) for _ in range(_ASKED)])
    return [_connectivity(took_ms), _clock(ahead_ms, took_ms)]


async def _once(ask: Callable[[], Awaitable[int]], clock: Clock) -> tuple[float, float]:
    """How long an answer took, and how far the server's clock is ahead, if it was read half-way."""
    began, wall = clock.monotonic(), clock.wall_ms()
    server_ms = await ask()
    took_ms = (clock.monotonic() - began) * 1000
    return took_ms, server_ms - wall - took_ms / 2


def _connectivity(took_ms: float) -> Finding:
    if took_ms < _SLOW_MS:
        return Finding("ok", "connectivity", f"answers in {took_ms:.1f} ms")
    return Finding(
        "warn", "connectivity", f"answers in {took_ms:.0f} ms: each claim and each end of a job waits for it"
    )


def _clock(ahead_ms: float, took_ms: float) -> Finding:
    way = "ahead of" if ahead_ms >= 0 else "behind"
    text = f"the server's is {abs(ahead_ms) / 1000:.3f} s {way} this machine's, give or take {took_ms / 2000:.3f} s"
    if abs(ahead_ms) - took_ms / 2 < _APART_MS:
        return Finding("ok", "clock", text)
    return Finding(
        "warn", "clock", f"{text}: jobs go by the server's; what programs name by themselves (at=) does not, so use NTP"
    )
