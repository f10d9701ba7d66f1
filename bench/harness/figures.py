"""Rates and CPU, and how they are printed."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

WIDTH = 42


class Clock:
    """Time and this process's CPU over a block of `jobs` jobs."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.began = 0.0
        self.seconds = 0.0
        self.cpu_us = 0.0  # a job

    def __enter__(self) -> Clock:
        self._used = _cpu_s()
        self.began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self.began
        self.cpu_us = (_cpu_s() - self._used) / self.jobs * 1e6


@dataclass
class Rate:
    """What a part of the bench came to."""

    what: str
    jobs: int
    seconds: float
    client_us: float  # CPU a job of those who ask: of the worker processes, or of the one that enqueues
    server_us: float | None = None  # CPU a job of the server, all its processes; None where there is none of ours
    extra: dict[str, Any] | None = None

    @property
    def per_second(self) -> int:
        return round(self.jobs / self.seconds)

    def say(self) -> dict[str, Any]:
        """Print it; the same as it stands in the JSON."""
        found: dict[str, Any] = {"jobs_per_second": self.per_second, "client_us": round(self.client_us, 1)}
        line = f"{self.what:{WIDTH}s} {self.per_second:>8,}/s   CPU us a job: {self.client_us:5.1f}"
        if self.server_us is not None:
            found["server_us"] = round(self.server_us, 1)
            line += f" + {self.server_us:4.1f} of the server"
        for name, value in (self.extra or {}).items():
            found[name] = value
            line += f"   {name} {_shown(value)}"
        print(line, flush=True)
        return found


def say_milliseconds(what: str, seconds: list[float], **extra: object) -> dict[str, Any]:
    """Print median and p99 of waits; the same as it stands in the JSON."""
    p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
    print(f"{what:{WIDTH}s} p50 {p50:.2f} ms   p99 {p99:.2f} ms", *(f"  {k} {v}" for k, v in extra.items()), flush=True)
    return {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), **extra}


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{one:,}" for one in value)
    return str(value)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
