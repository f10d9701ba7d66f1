"""The link between two processes over a private Redis: asks, and one-way messages, beside xoscar in the same run.

    python bench/link.py [--rounds 3] [--asks 60000] [--tells 600000] [--no-peer] [--json]

Asks by 64 callers as fast as they are answered, and again at a steady 30,000 a second, spread over 64 callers, which is
what a latency means something for; one-way messages with `tell`. CPU is that of the asking, the answering and the
server's process, for each message. Goals: 30,000 asks/s; p50 below 1 ms and p99 below 3 ms at that rate; 300,000
messages/s. A figure that misses its goal in its best round makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import uvloop

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import SystemClock
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.transport.port import Inbox
from callboard.kernel.transport.redis_streams import RedisLink
from harness.ground import redis_ground
from harness.peers import XOSCAR

CALLERS = 64
STEADY_PER_S = 30_000
TICK_S = 0.001
GOALS = {"ask_per_s": 30_000.0, "p50_ms": 1.0, "p99_ms": 3.0, "tell_per_s": 300_000.0}
_TICKS = os.sysconf("SC_CLK_TCK")


class Sink(Actor):
    """Counts and answers."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: object) -> object:
        self.count += 1
        return self.count if message == "total" else message


async def serve(url: str, namespace: str) -> None:
    link = _link(url, namespace)
    await link.open()
    async with Supervisor([ChildSpec(Sink, id="sink")]) as root:
        await link.serve("sink", lambda _: root.ref("sink").inbox, incarnation=1)
        print("ready", flush=True)
        await asyncio.Event().wait()


def _link(url: str, namespace: str) -> RedisLink:
    return RedisLink(url, namespace=namespace, node=uuid.uuid4().hex, clock=SystemClock(), rng=random.Random())


class Cpu:
    """CPU seconds of the processes of a run, by name."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = self._now()

    def us(self, messages: int) -> dict[str, float]:
        """Since it was made, microseconds for each message."""
        now = self._now()
        return {name: (now[name] - self._before[name]) * 1e6 / messages for name in now}

    def _now(self) -> dict[str, float]:
        found = {}
        for name, pid in self._pids.items():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            found[name] = (int(fields[11]) + int(fields[12])) / _TICKS
        return found


async def ask(inbox: Inbox, count: int) -> float:
    """Asks a second, as fast as they are answered."""

    async def call() -> None:
        for number in range(count // CALLERS):
            await inbox.ask(number, 30.0)

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return count / (time.perf_counter() - began)


async def steady(inbox: Inbox, count: int) -> list[float]:
    """Seconds that each of so many asks took at the steady rate, counted from when it was due."""
    took: list[float] = []
    began = time.perf_counter()

    async def call(first: int) -> None:
        for number in range(first, count, CALLERS):
            due = began + number / STEADY_PER_S
            if (left_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(left_s)
            await inbox.ask(number, 30.0)
            took.append(time.perf_counter() - due)

    await asyncio.gather(*(call(first) for first in range(CALLERS)))
    return sorted(took)


async def tell(inbox: Inbox, count: int) -> float:
    """One-way messages a second, until the last was handled."""
    began = time.perf_counter()
    offer = inbox.offer
    for number in range(count):
        if not offer(number):
            await inbox.tell(number, None)
    await inbox.ask("total", 30.0)
    return count / (time.perf_counter() - began)


async def measure(url: str, namespace: str, asks: int, tells: int, pids: dict[str, int]) -> dict[str, Any]:
    link = _link(url, namespace)
    await link.open()
    inbox = link.inbox("sink")
    await ask(inbox, 5_000)
    cpu = Cpu(asking=os.getpid(), **pids)
    found: dict[str, Any] = {"ask_per_s": await ask(inbox, asks)}
    found["ask_cpu_us"] = cpu.us(asks)
    took = await steady(inbox, asks)
    found |= {"p50_ms": took[len(took) // 2] * 1000, "p99_ms": took[int(len(took) * 0.99)] * 1000}
    cpu = Cpu(asking=os.getpid(), **pids)
    found["tell_per_s"] = await tell(inbox, tells)
    found["tell_cpu_us"] = cpu.us(tells)
    await link.close()
    return found


def ours(url: str, server: int | None, asks: int, tells: int) -> dict[str, Any]:
    namespace = f"bench{uuid.uuid4().hex}"
    other = subprocess.Popen([sys.executable, __file__, "--serve", url, namespace], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert server is not None
        return uvloop.run(measure(url, namespace, asks, tells, {"answering": other.pid, "server": server}))
    finally:
        other.kill()
        other.wait()


def say(who: str, found: dict[str, Any]) -> None:
    line = f"{who:10s} {found['ask_per_s']:>8,.0f} asks/s of {CALLERS} callers"
    if who == "callboard":
        line += f"   at {STEADY_PER_S:,}/s"
    line += f"   p50 {found['p50_ms']:.2f} ms p99 {found['p99_ms']:.2f} ms   {found['tell_per_s']:>9,.0f} one-way/s"
    for what in ("ask", "tell"):
        if cpu := found.get(f"{what}_cpu_us"):
            line += f"   CPU us a {what}: " + " + ".join(f"{us:.1f} {name}" for name, us in cpu.items())
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="The link between two processes.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asks", type=int, default=60_000)
    parser.add_argument("--tells", type=int, default=600_000)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", action="store_true", help="one object on stdout at the end")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(*options.serve))
        return 0
    found: dict[str, list[dict[str, Any]]] = {"callboard": [], "xoscar": []}
    with redis_ground() as ground:
        for _ in range(options.rounds):
            found["callboard"].append(ours(ground.server_url, ground.pid, options.asks, options.tells))
            say("callboard", found["callboard"][-1])
            if not options.no_peer:
                theirs: dict[str, Any] = XOSCAR.run("link", options.asks // 2, CALLERS, options.tells // 4)
                found["xoscar"].append(theirs)
                say("xoscar", theirs)
    report: dict[str, Any] = dict(found)
    if not options.no_peer:
        report["ratio"] = {
            what: statistics.median(one[what] for one in found["callboard"])
            / statistics.median(one[what] for one in found["xoscar"])
            for what in ("ask_per_s", "tell_per_s")
        }
        print(*(f"beside xoscar, {what}: {ratio:.1f}x" for what, ratio in report["ratio"].items()), sep="\n")
    missed = False
    for what, goal in GOALS.items():
        values = [one[what] for one in found["callboard"]]
        best = min(values) if what.endswith("ms") else max(values)
        is_missed = best > goal if what.endswith("ms") else best < goal
        missed |= is_missed
        print(f"best {what}: {best:,.2f}, goal {goal:,.0f}{'  MISS' if is_missed else ''}")
    if options.json:
        print(json.dumps(report))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
