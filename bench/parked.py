"""One queue whose dispatcher crashes without end: what it costs the other queues of its node.

    python bench/parked.py [--store sqlite] [--jobs 20000] [--rounds 5] [--slots 20] [--json FILE]

Each round measures a node of two queues twice, in turn: whole, and with the dispatcher of one queue crashing at each
message while jobs wait there. The other queue works off `--jobs` trivial jobs; the rate counts from the first to the
last. Exit code 0 only if by the median of the rounds the rate beside the crashing queue is at least 90 % of the whole
node's, the node's own report names the queue, and nothing of that queue was lost. CPU time of the node is told beside
the rate: it says the same on a machine that has other things to do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from callboard import Runtime
from callboard.actors.calls import encode_anonymous
from callboard.kernel.codec import decode
from callboard.runtime.job import Call, Options
from harness.places import PLACES, Place
from harness.processes import Proc, ProcPool
from harness.tell import tell

NODE = Path(__file__).parent / "harness" / "parked_node.py"
LEAST_SHARE = 0.9
IN_BROKEN = 100  # jobs that wait in the queue which crashes
WITHIN_S = 120.0
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """One node, from the first to the last job of its sound queue."""

    rate: float  # jobs a second
    cpu_us: float  # of the node, a job
    as_expected: bool  # the report named the crashing queue, and its jobs are all there


async def measure(options: argparse.Namespace, folder: Path, *, broken: bool) -> Measured:
    """Run a node, whole or with a crashing dispatcher."""
    place: Place = PLACES[options.store](folder)
    async with Runtime(place.url, migrate=True) as runtime:
        await enqueue(runtime, "sound", options.jobs)
        await enqueue(runtime, "broken", IN_BROKEN if broken else 0)
        with ProcPool(folder, CALLBOARD_STORE=place.url, NODE_BROKEN="broken" if broken else "") as pool:
            queues = [f"{name}={options.slots}" for name in ("sound", "broken")]
            node = pool.spawn(NODE, *queues, CALLBOARD_LEASE="2s").wait_ready()
            left = options.jobs - await completed(runtime, 1)
            began, cpu = time.monotonic(), node.cpu_s()
            await completed(runtime, options.jobs)
            rate, cpu_us = left / (time.monotonic() - began), (node.cpu_s() - cpu) / left * 1e6
            is_named = not broken or await names(runtime, node, "broken")
            node.signal(signal.SIGTERM)
            node.wait()
        waiting = (await runtime.counts("broken"))["available"]
    return Measured(rate, cpu_us, is_named and waiting == (IN_BROKEN if broken else 0))


async def enqueue(runtime: Runtime, queue: str, count: int) -> None:
    """That many jobs."""
    calls: list[Call[Any]] = [
        Call("nothing", None, Options(queue=queue), encode_anonymous("nothing", (number,), {}))
        for number in range(count)
    ]
    await runtime.enqueue_many(calls)


async def completed(runtime: Runtime, least: int) -> int:
    """How many jobs of the sound queue have been done, once there are so many."""
    began = time.monotonic()
    while time.monotonic() - began < WITHIN_S:
        done = (await runtime.counts("sound"))["completed"]
        if done >= least:
            return done
        await asyncio.sleep(LOOK_S)
    raise SystemExit(f"the sound queue did not complete {least} jobs within {WITHIN_S:g} s")


async def names(runtime: Runtime, node: Proc, queue: str) -> bool:
    """Whether the node's report comes to say that this queue is parked, and why."""
    began = time.monotonic()
    while time.monotonic() - began < WITHIN_S:
        for row in await runtime.node.store.nodes.list():
            if row.pid == node.pid and row.report:
                parked = cast("dict[str, Any]", decode(row.report))["parked"]
                if "made to crash" in str(parked.get(queue)):
                    return True
        await asyncio.sleep(LOOK_S)
    return False


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All rounds."""
    found: dict[bool, list[Measured]] = {False: [], True: []}
    for number in range(options.rounds):
        for broken in (True, False) if number % 2 else (False, True):  # what drifts meets both alike
            scratch = folder / f"{number}-{broken}"
            os.mkdir(scratch)
            found[broken].append(await measure(options, scratch, broken=broken))
    share = statistics.median(beside.rate / whole.rate for whole, beside in zip(*found.values(), strict=True))
    as_expected = all(one.as_expected for one in found[True] + found[False])
    return {
        "store": options.store,
        "jobs": options.jobs,
        "rounds": options.rounds,
        "whole_per_s": round(statistics.median(one.rate for one in found[False])),
        "beside_a_crashing_queue_per_s": round(statistics.median(one.rate for one in found[True])),
        "share": round(share, 3),
        "whole_cpu_us": round(statistics.median(one.cpu_us for one in found[False]), 1),
        "beside_a_crashing_queue_cpu_us": round(statistics.median(one.cpu_us for one in found[True]), 1),
        "named_and_kept": as_expected,
        "verdict": "PASS" if share >= LEAST_SHARE and as_expected else "FAIL",
    }


def main() -> int:
    """Exit code 0: passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=20)
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/parked-STORE.json]")
    options = parser.parse_args()
    os.environ.pop("CALLBOARD_STORE", None)
    with tempfile.TemporaryDirectory(prefix="parked-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    return tell("PARKED", found, options.json or Path("build") / "bench" / f"parked-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
