"""How fast jobs go through the whole runtime, beside the store's raw limit and a peer.

    python bench/throughput.py [--store memory|sqlite|postgres|redis] [--jobs 400000] [--slots 200] [--processes 1,2]
                               [--parts enqueue,drain,latency,waiting,snapshot,unlogged,raw,peer] [--json]

enqueue   one at a time, a hundred at a time, a thousand a batch
drain     by worker processes, each fifth apart; memory, claims and shares of the processes
latency   from enqueue to the first line of the handler, on an idle node; but for memory the producer is another
          process. Beside it, on servers, a bare write that wakes another process, which takes what was written
waiting   claim(100) beside a million waiting jobs; on PostgreSQL with its EXPLAIN
snapshot  PostgreSQL: drain while a transaction from before is held open
unlogged  Redis: drain without an append-only file
raw       the server, or SQLite, with bare statements at the batch size that the drain came to
peer      huey on SQLite, pgqueuer on PostgreSQL, dramatiq on Redis, each in an environment of its own below build/,
          in turn with ours: A B A B; the ratio is of the medians

Results are kept, writes fenced, commits durable (SQLite: synchronous=FULL; PostgreSQL: fsync and synchronous_commit;
Redis: append-only file, synced every second). The drain's clock runs from the moment the worker processes are ready to
the last accepted finish, seen by counting ends in the store. claim_p99_ms is of the first and of the last fifth of the
claims. CPU is of the worker processes, all threads, and of all processes of the server. bench/README.md says what each
peer promises.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from harness.figures import Clock, Rate
from harness.ground import Files, Ground, Postgres, Redis, postgres_ground, redis_ground
from harness.lifecycle import drain, enqueue, latency_from_outside, latency_here, runtime_of, watch
from harness.peers import beside
from harness.processes import BENCH
from harness.raw import raw_limit, raw_start
from harness.snapshot import old_snapshot
from harness.waiting import claim_beside_many

PARTS = ("enqueue", "drain", "latency", "waiting", "snapshot", "unlogged", "raw", "peer")
MILLION = 1_000_000
LARGEST_CLAIM = 500  # what a dispatcher asks for at most, where no drain tells the usual size


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", choices=["memory", "sqlite", "postgres", "redis"], default="sqlite")
    options.add_argument("--jobs", type=int, default=400_000)
    options.add_argument("--slots", type=int, default=200)
    options.add_argument("--processes", default="1,2")
    options.add_argument("--parts", default=",".join(PARTS))
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    given.parts = given.parts.split(",")
    if unknown := set(given.parts) - set(PARTS):
        options.error(f"--parts: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"store": given.store, "jobs": given.jobs, "slots": given.slots}
    if given.store == "memory":
        figures |= uvloop.run(_memory(given))
    elif given.store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
            figures |= _served(Files(Path(folder)), given)
    elif given.store == "postgres":
        figures |= _served(postgres_ground(), given)
    else:
        with redis_ground() as ground:
            figures |= _served(ground, given)
    if given.json:
        print(json.dumps(figures, indent=1))


async def _memory(given: argparse.Namespace) -> dict[str, Any]:
    """Producer and worker are one process by nature."""
    from callboard.runtime.running import tune_interpreter

    tune_interpreter()
    runtime = runtime_of("memory://")
    found: dict[str, Any] = {}
    async with runtime:
        found["enqueue"] = await enqueue(runtime, given.jobs)
        with Clock(given.jobs) as clock:
            async with runtime.work({"default": given.slots}):
                fifths = await watch(runtime, given.jobs, clock.began)
        what = f"drain, 1 process, slots {given.slots}"
        found["drain 1"] = Rate(what, given.jobs, clock.seconds, clock.cpu_us, extra={"fifths": fifths}).say()
        if "latency" in given.parts:
            found["latency"] = await latency_here(runtime, runtime.work({"default": given.slots}))
    return found


def _served(ground: Ground, given: argparse.Namespace) -> dict[str, Any]:
    """Workers are processes of their own. Each part has a store of its own."""
    found: dict[str, Any] = {}

    def note(part: str, name: str, figures: Coroutine[Any, Any, dict[str, Any]]) -> None:
        if part in given.parts:
            found[name] = uvloop.run(figures)
        else:
            figures.close()

    for processes in [int(n) for n in given.processes.split(",")]:
        note("drain", f"drain {processes}", _filled_and_drained(ground, given, f"jobs{processes}", processes))
    if "drain" not in given.parts:
        note("enqueue", "enqueue", _filled(ground, given, "jobs"))
    note("latency", "latency", latency_from_outside(ground.url("latency")))
    if "latency" in given.parts and isinstance(ground, Postgres | Redis):
        found["raw latency"] = raw_start(ground)
    if isinstance(ground, Files):
        if "raw" in given.parts:
            command = [sys.executable, str(BENCH / "store_sqlite.py"), "raw", "--jobs", str(given.jobs)]
            subprocess.run(command, check=True)
    else:
        note("waiting", "waiting", claim_beside_many(ground, MILLION))
        batch = found.get("drain 1", {}).get("claimed_at_once", LARGEST_CLAIM)
        note("raw", "raw", raw_limit(ground, given.jobs, batch))
    if isinstance(ground, Postgres):
        note("snapshot", "snapshot", _with_old_snapshot(ground, given))
    if isinstance(ground, Redis) and "unlogged" in given.parts:
        with redis_ground(appends=False) as unlogged:
            print("without an append-only file:", flush=True)
            found["unlogged"] = uvloop.run(_filled_and_drained(unlogged, given, "unlogged", 1))
    note("peer", "peer", beside(ground, given.slots))
    return found


async def _filled(ground: Ground, given: argparse.Namespace, name: str) -> dict[str, Any]:
    return await enqueue(runtime_of(ground.url(name)), given.jobs, ground)


async def _filled_and_drained(ground: Ground, given: argparse.Namespace, name: str, processes: int) -> dict[str, Any]:
    filled = await _filled(ground, given, name)
    drained = await drain(ground, ground.url(name), processes, given.slots, given.jobs)
    await ground.drop(name)
    return drained | {"enqueue": filled}


async def _with_old_snapshot(ground: Postgres, given: argparse.Namespace) -> dict[str, Any]:
    print("with an old snapshot held open:", flush=True)
    await _filled(ground, given, "snapshot")
    async with old_snapshot(ground.server_url):
        drained = await drain(ground, ground.url("snapshot"), 1, given.slots, given.jobs)
    await ground.drop("snapshot")
    return drained


if __name__ == "__main__":
    main()
