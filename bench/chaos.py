"""Ten thousand jobs under a storm of SIGKILL: nothing lost, nothing stuck, hardly anything done twice.

    python bench/chaos.py [--store sqlite] [--jobs 10000] [--job-ms 50] [--nodes 4] [--slots 10] [--lease 2]
                          [--kill-every 0.3] [--within 90] [--dups-per-kill 1] [--seed N] [--json FILE]

Node processes work off the jobs; every `--kill-every` seconds a random one of those that are ready is killed, and
started again at once, until all jobs are done. Prints one line, writes the same as JSON, and exits with 0 only if
nothing was lost, stuck or written by a stale attempt, every counter agrees with a recount, at most `--dups-per-kill`
effects per kill happened twice, and all was done within `--within` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from callboard import JobState, Runtime
from callboard.kernel.codec import decode
from callboard.storage.ids import format_id
from callboard.storage.job import Job
from harness.places import PLACES, Place, stored_jobs, unfinished
from harness.processes import Proc, ProcPool
from harness.records import read_records
from harness.storm_node import jobs
from harness.tell import tell
from harness.verdict import Kill, Row, Verdict, judge

NODE = Path(__file__).parent / "harness" / "storm_node.py"
LOOK_S = 0.05
BATCH = 1000
PATIENCE = 3  # times --within, before a run that does not end is given up


class Storm:
    """Node processes, and the one who kills them."""

    def __init__(self, pool: ProcPool, rng: random.Random, args: Sequence[str], nodes: int) -> None:
        self._pool = pool
        self._rng = rng
        self._args = args
        self.kills: list[Kill] = []
        self.ticks_without_ready = 0
        self._procs = [self._spawn() for _ in range(nodes)]

    def kill_one(self) -> None:
        """Kill a random process of those that are ready, and start another in its place."""
        ready = [index for index, proc in enumerate(self._procs) if proc.is_ready]
        if not ready:
            self.ticks_without_ready += 1
            return
        index = self._rng.choice(ready)
        killed = self._procs[index]
        self.kills.append(Kill(killed.pid, killed.signal(signal.SIGKILL)))
        self._procs[index] = self._spawn()
        killed.wait()

    def died(self) -> list[Proc]:
        """Processes that ended without having been killed here."""
        return [proc for proc in self._procs if proc.exit_code is not None]

    def drain(self) -> list[int]:
        """End all in order; their exit codes."""
        for proc in self._procs:
            proc.wait_ready().signal(signal.SIGTERM)
        return [proc.wait() for proc in self._procs]

    def _spawn(self) -> Proc:
        return self._pool.spawn(NODE, *self._args)


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """One storm, from an empty store to the verdict."""
    place: Place = PLACES[options.store](folder)
    records = folder / "records"
    os.environ["CALLBOARD_STORE"] = place.url
    runtime = Runtime(migrate=True)
    runtime.include(jobs(str(records), options.job_ms))
    env = {
        "CALLBOARD_STORE": place.url,
        "CALLBOARD_LEASE": f"{options.lease:g}s",
        "CALLBOARD_MAX_CRASHES": "1000",  # here the killer is not the job
    }
    async with runtime:
        place.audit()
        enqueued = await enqueue(runtime, options.jobs)
        began = time.monotonic()
        with ProcPool(folder, **env) as pool:
            arguments = [str(records), str(options.slots), str(options.job_ms)]
            storm = Storm(pool, random.Random(options.seed), arguments, options.nodes)
            await rage(storm, runtime, options)
            wall_s = time.monotonic() - began
            exits = storm.drain()
        rows = await stored_jobs(runtime)
        counts = await runtime.counts()
    recount = Counter(job.state.value for job in rows)
    wrong_counts = sum(counts[state.value] != recount[state.value] for state in JobState)
    verdict = judge(
        enqueued, [row(job) for job in rows], read_records(records), storm.kills, place.accepted(), wrong_counts
    )
    problems = verdict.problems(len(storm.kills), options.dups_per_kill)
    if wall_s > options.within:
        problems.append(f"wall_s={wall_s:.1f}")
    if any(exits):
        problems.append(f"exit codes {exits}")
    return summary(options, storm, verdict, sum(job.crashes for job in rows), wall_s, problems)


async def enqueue(runtime: Runtime, count: int) -> list[str]:
    """The ids of jobs whose enqueueing was acknowledged."""
    job = runtime.jobs["storm"]
    ids: list[str] = []
    while len(ids) < count:
        calls = [job.bind() for _ in range(min(BATCH, count - len(ids)))]
        ids += [handle.id for handle in await runtime.enqueue_many(calls)]
    return ids


async def rage(storm: Storm, runtime: Runtime, options: argparse.Namespace) -> None:
    """Kill until all is done, or it has taken far too long."""
    began = time.monotonic()
    next_kill = began + options.kill_every
    while await unfinished(runtime):
        if time.monotonic() - began > options.within * PATIENCE:
            return  # what is left counts as stuck
        for proc in storm.died():
            raise SystemExit(f"{proc.name} ended by itself with {proc.exit_code}:\n{proc.tail()}")
        if time.monotonic() >= next_kill:
            storm.kill_one()
            next_kill += options.kill_every
        await asyncio.sleep(min(LOOK_S, max(next_kill - time.monotonic(), 0.0)))


def row(job: Job) -> Row:
    """What the verdict needs of a stored job."""
    is_completed = job.state is JobState.COMPLETED
    answer = decode(job.result) if is_completed and job.result is not None else None
    return Row(format_id(job.id), job.state.is_terminal, is_completed, job.claim_token, answer)


def summary(
    options: argparse.Namespace, storm: Storm, verdict: Verdict, crashes: int, wall_s: float, problems: list[str]
) -> dict[str, object]:
    """The line's words and values, in order."""
    kills = len(storm.kills)
    return {
        "store": options.store,
        "jobs": options.jobs,
        "seed": options.seed,
        "kills": kills,
        "ticks_without_ready": storm.ticks_without_ready,
        **{name: round(value, 2) for name, value in asdict(verdict).items()},
        "dup_effects_per_kill": round(verdict.dup_effects / max(kills, 1), 3),
        "lost_leases": crashes,
        "wall_s": round(wall_s, 1),
        "verdict": "PASS" if not problems else "FAIL",
        "problems": problems,
    }


def main() -> int:
    """Exit code 0: passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--job-ms", type=int, default=50)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--slots", type=int, default=10)
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--kill-every", type=float, default=0.3, help="seconds")
    parser.add_argument("--within", type=float, default=90.0, help="seconds that it may take")
    parser.add_argument("--dups-per-kill", type=float, default=1.0, help="effects that may happen twice")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/chaos-STORE.json]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    return tell("CHAOS", found, options.json or Path("build") / "bench" / f"chaos-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
