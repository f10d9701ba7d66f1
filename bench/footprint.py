"""What a node costs when it does nothing, and whether it grows when it does much.

    python bench/footprint.py [--seconds 60] [--jobs 100000] [--json]

idle: CPU of a node process with 4 queues and no producer over `--seconds`, in per cent of a core; goal: below 1.
growth: resident memory of a node that ran `--jobs` jobs, against what it had after the first 10,000; goal: below 10 MB.
Both on SQLite, each node a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from workload import noop
from workload import registry as jobs

from callboard import Runtime, Settings

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
FIRST = 10_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--jobs", type=int, default=100_000)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        figures = {
            "idle_percent": _idle(f"sqlite:///{folder}/idle.db", given.seconds),
            "growth": uvloop.run(_growth(f"sqlite:///{folder}/growth.db", given.jobs)),
        }
    if given.json:
        print(json.dumps(figures))


def _idle(url: str, seconds: float) -> float:
    with _node(url, "default=10", "a=10", "b=10", "c=10") as node:
        time.sleep(3.0)  # let it settle: what starting costs is not asked here
        before, began = _cpu_s(node.pid), time.monotonic()
        time.sleep(seconds)
        percent = (_cpu_s(node.pid) - before) / (time.monotonic() - began) * 100
    verdict = "ok" if percent < 1.0 else "FALLS SHORT"
    print(f"idle node, 4 queues, {seconds:.0f} s: {percent:.2f} % of a core (goal below 1): {verdict}", flush=True)
    return round(percent, 2)


async def _growth(url: str, count: int) -> dict[str, float]:
    runtime = Runtime(url, settings=Settings(retention="7d"), migrate=True)
    runtime.include(jobs)
    sizes: list[float] = []
    async with runtime:
        with _node(url, "default=100") as node:
            for goal in (FIRST, count):
                have = sum((await runtime.counts()).values())
                for start in range(have, goal, 1000):
                    await runtime.enqueue_many([noop.bind(n, "x") for n in range(start, min(start + 1000, goal))])
                await _completed(runtime, goal)
                sizes.append(_rss_mb(node.pid))
    grown = sizes[1] - sizes[0]
    verdict = "ok" if grown < 10 else "FALLS SHORT"
    print(
        f"node on SQLite: {sizes[0]:.1f} MB after {FIRST:,} jobs (goal below 50), {sizes[1]:.1f} MB after {count:,}:"
        f" {grown:+.1f} MB (goal below 10): {verdict}",
        flush=True,
    )
    return {"rss_mb": round(sizes[0], 1), "grown_mb": round(grown, 1)}


async def _completed(runtime: Runtime, goal: int) -> None:
    while True:
        if (await runtime.counts())["completed"] >= goal:
            return
        await asyncio.sleep(0.05)


class _node:
    """A node as an operator starts it."""

    def __init__(self, url: str, *queues: str) -> None:
        self._url = url
        self._queues = queues

    def __enter__(self) -> subprocess.Popen[bytes]:
        self._folder = tempfile.TemporaryDirectory(prefix="callboard-node-")
        ready = Path(self._folder.name, "ready")
        flags = [part for queue in self._queues for part in ("-q", queue)]
        command = [sys.executable, "-m", "callboard", "run", "served:runtime", *flags]
        self._process = subprocess.Popen(
            [*command, "--store", self._url, "--ready-file", str(ready)],
            cwd=HERE,
        )
        while not ready.exists():
            if self._process.poll() is not None:
                raise SystemExit("the node did not start")
            time.sleep(0.05)
        return self._process

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._folder.cleanup()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


if __name__ == "__main__":
    main()
