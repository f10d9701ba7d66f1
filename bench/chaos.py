"""Jobs under a storm: nothing lost, nothing stuck, nothing twice but for what was in hand when a process was killed.

    python bench/chaos.py [--store sqlite|postgres|redis] [--faults kill,stop,cut,dropreply,restart] [--jobs N]
                          [--job-ms 50] [--nodes 4] [--slots 10] [--lease 2] [--kill-every 0.3] [--within S]
                          [--dups-per-kill N] [--cut-every 2] [--drop-rate 0.01] [--restarts 20] [--restart-every 3]
                          [--tx] [--seed N] [--records FILE] [--json FILE]

Node processes work off the jobs until all are done, while

    kill       a random one of those that are ready is killed every 300 ms, and started again at once
    stop       one is stopped for longer than its lease, and continued
    cut        every connection to the server is cut, every two seconds
    dropreply  the server does what it was asked, its reply does not arrive: at random
    restart    the server is killed and started again, twenty times

With `kill` alone 10,000 jobs wait from the start. With more, 3,000 come while the storm rages, from a producer that
meets the same faults and keeps what it was told of each batch. Then everything heals, what is left must end without
any new job, and at last each process is called on to work once more.

With `--tx` the handler's effect is a row in the store's own database, written in the transaction that ends its job: not
one may be there twice.

Prints one line, writes the same as JSON, and exits with 0 only if nothing was lost, stored twice, stored in part, stuck
or written by a stale attempt, every counter agrees with a recount, no job began anew without a reason, not too many
effects happened twice, no process ended by itself or stopped claiming, and all was done in time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

from callboard import JobState, Registry, Runtime
from callboard.storage.errors import Unavailable
from harness.places import PLACES, Place, row_of, stored_jobs, unfinished
from harness.processes import ProcPool
from harness.producer import Producer
from harness.records import read_records
from harness.storm import Storm
from harness.storm_node import jobs
from harness.tell import tell
from harness.troubles import FAULTS, Plan, Troubles
from harness.tx_jobs import effects, make_table
from harness.verdict import Verdict, judge

LOOK_S = 0.05
PATIENCE = 3  # times --within, before a run that does not end is given up
ROLL_CALL_S = 20.0
WITHIN_S = {"sqlite": 90.0, "postgres": 45.0, "redis": 45.0}
DUPS_PER_KILL = {"sqlite": 1.0, "postgres": 0.3, "redis": 0.3}
WITHIN_WITH_FAULTS_S = 300.0
JOBS, JOBS_WITH_FAULTS = 10_000, 3_000
SPREAD_S = 30.0  # over which jobs come, where the server is not restarted


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """One storm, from an empty store to the verdict."""
    place: Place = PLACES[options.store](folder)
    await place.prepare()
    records = folder / "records"
    registry = jobs(str(records), options.job_ms)
    producer = Producer("storm_tx" if options.tx else "storm", random.Random(f"{options.seed}-producer"))
    direct = Runtime(place.url)
    direct.include(registry)
    async with Troubles(plan(options), place) as troubles, direct:
        if options.tx:
            await make_table(place.url)
        env = {
            "CALLBOARD_STORE": troubles.url,
            "CALLBOARD_LEASE": f"{options.lease:g}s",
            "CALLBOARD_MAX_CRASHES": "1000",  # here the killer is not the job
        }
        if not options.has_more:
            await producer.at_once(direct, options.jobs)
        began = time.monotonic()
        with ProcPool(folder, **env) as pool:
            storm = Storm(pool, [str(records), str(options.slots), str(options.job_ms)], options.nodes)
            if options.has_more:
                await rage_while_producing(producer, troubles, storm, registry, options)
            else:
                troubles.begin(storm)
            await calm(storm, troubles, direct, options)
            wall_s = time.monotonic() - began
            silent = await roll_call(storm, producer, direct, records, options)
            exits = storm.drain()
        rows = await stored_jobs(direct)
        counts = await direct.counts()
        accepted = await place.accepted()
    recount = Counter(job.state.value for job in rows)
    wrong_counts = sum(counts[state.value] != recount[state.value] for state in JobState)
    found = [row_of(job, direct) for job in rows]
    done = read_records(records) + (await effects(place.url) if options.tx else [])
    verdict = judge(producer.enqueues, found, sorted(done, key=attrgetter("at")), storm.hits, accepted, wrong_counts)
    if options.records is not None:
        shutil.copyfile(records, options.records)
    hits = storm.kills + (storm.stops if options.has_more else 0)
    problems = verdict.problems(hits * options.dups_per_kill, explains_starts=set(options.faults) <= {"kill", "stop"})
    problems += [*storm.ended, *silent]
    if wall_s > options.within:
        problems.append(f"wall_s={wall_s:.1f} of {options.within:g} allowed")
    if any(exits):
        problems.append(f"exit codes {exits}")
    troubles.counters.update(unknown_enqueues=producer.unknown, refused_enqueues=producer.refused)
    return summary(options, storm, troubles, verdict, sum(job.crashes for job in rows), wall_s, len(silent), problems)


def plan(options: argparse.Namespace) -> Plan:
    """The faults that were asked for."""
    return Plan(
        faults=options.faults,
        seed=options.seed,
        kill_every_s=options.kill_every,
        lease_s=options.lease,
        cut_every_s=options.cut_every,
        drop_rate=options.drop_rate,
        restarts=options.restarts,
        restart_every_s=options.restart_every,
    )


async def rage_while_producing(
    producer: Producer, troubles: Troubles, storm: Storm, registry: Registry, options: argparse.Namespace
) -> None:
    """Enqueue all jobs by the same way as the nodes, while everything goes wrong; then heal what did."""
    runtime = Runtime(troubles.url)
    runtime.include(registry)
    spread_s = options.restarts * options.restart_every if "restart" in options.faults else SPREAD_S
    async with runtime:
        troubles.begin(storm)
        producing = asyncio.create_task(producer.over(runtime, options.jobs, spread_s))
        while not producing.done() or troubles.are_due:
            look(storm, troubles)
            await asyncio.sleep(LOOK_S)
        await producing
        await troubles.end()


async def calm(storm: Storm, troubles: Troubles, runtime: Runtime, options: argparse.Namespace) -> None:
    """Wait until all is done, or it has taken far too long; then nothing goes wrong any more."""
    until = time.monotonic() + options.within * PATIENCE
    while time.monotonic() < until:  # what is left then counts as stuck
        with suppress(Unavailable):
            if not await unfinished(runtime):
                break
        look(storm, troubles)
        await asyncio.sleep(LOOK_S)
    await troubles.end()


def look(storm: Storm, troubles: Troubles) -> None:
    """See who ended by himself."""
    troubles.check()
    storm.look()


async def roll_call(
    storm: Storm, producer: Producer, runtime: Runtime, records: Path, options: argparse.Namespace
) -> list[str]:
    """Enqueue jobs until each process has begun one; a line for each that does not."""
    await storm.all_ready()
    since = time.monotonic()
    while idle := await storm.idle(records, since):
        if time.monotonic() - since > ROLL_CALL_S:
            return storm.tails(idle)
        await producer.at_once(runtime, 2 * options.nodes * options.slots)
        while time.monotonic() - since < ROLL_CALL_S:
            if not await unfinished(runtime):
                break
            await asyncio.sleep(LOOK_S)
    return []


def summary(
    options: argparse.Namespace,
    storm: Storm,
    troubles: Troubles,
    verdict: Verdict,
    crashes: int,
    wall_s: float,
    silent: int,
    problems: Sequence[str],
) -> dict[str, object]:
    """The line's words and values, in order."""
    return {
        "store": options.store,
        "faults": ",".join(options.faults),
        "tx": options.tx,
        "jobs": options.jobs,
        "seed": options.seed,
        "kills": storm.kills,
        "stops": storm.stops,
        **troubles.counters,
        **{name: round(value, 2) for name, value in asdict(verdict).items()},
        "dup_effects_per_kill": round(verdict.dup_effects / max(storm.kills, 1), 3),
        "lost_leases": crashes,
        "ended_by_themselves": len(storm.ended),
        "claiming_no_more": silent,
        "wall_s": round(wall_s, 1),
        "verdict": "PASS" if not problems else "FAIL",
        "problems": problems,
    }


def at_least_one(text: str) -> int:
    """A count; argparse names the option before the complaint."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)


def refuse(why: str) -> NoReturn:
    """One line, exit code 2."""
    print(f"chaos.py: {why}", file=sys.stderr)
    raise SystemExit(2)


def read_options() -> argparse.Namespace:
    """The command line; exits with 2 and one line for what cannot be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--faults", default="kill", help="any of " + ",".join(FAULTS))
    parser.add_argument("--tx", action="store_true", help="the effect is committed with the job's end: none twice")
    parser.add_argument(
        "--jobs", type=at_least_one, default=None, help=f"[{JOBS}; {JOBS_WITH_FAULTS} with more than kill]"
    )
    parser.add_argument("--job-ms", type=at_least_one, default=50)
    parser.add_argument("--nodes", type=at_least_one, default=4)
    parser.add_argument("--slots", type=at_least_one, default=10)
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--kill-every", type=float, default=0.3, help="seconds")
    parser.add_argument("--within", type=float, default=None, help="seconds that it may take [by store]")
    parser.add_argument("--dups-per-kill", type=float, default=None, help="effects that may happen twice [by store]")
    parser.add_argument("--cut-every", type=float, default=2.0, help="seconds")
    parser.add_argument("--drop-rate", type=float, default=0.01, help="of the server's replies")
    parser.add_argument("--restarts", type=at_least_one, default=20, help="of the server")
    parser.add_argument("--restart-every", type=float, default=3.0, help="seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--records", type=Path, default=None, help="where to keep what the handlers recorded")
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/chaos-STORE.json]")
    options = parser.parse_args()
    options.faults = [name.strip() for name in options.faults.split(",")]
    if unknown := [name for name in options.faults if name not in FAULTS]:
        refuse(f"--faults: expected some of {','.join(FAULTS)}, found {unknown[0]!r}")
    if impossible := [name for name in options.faults if name not in PLACES[options.store].faults]:
        possible = ",".join(name for name in FAULTS if name in PLACES[options.store].faults)
        refuse(f"--faults {impossible[0]}: {options.store} has no server; expected some of {possible}")
    options.has_more = options.faults != ["kill"]
    if options.jobs is None:
        options.jobs = JOBS_WITH_FAULTS if options.has_more else JOBS
    if options.within is None:
        options.within = WITHIN_WITH_FAULTS_S if options.has_more else WITHIN_S[options.store]
    if options.tx and options.store == "redis":
        refuse("--tx: redis has no transactions that an effect could be part of; expected sqlite or postgres")
    if options.tx:
        options.dups_per_kill = 0.0
    if options.dups_per_kill is None:
        # What a node had in hand: its slots, and as many jobs leased beyond them.
        options.dups_per_kill = 2.0 * options.slots if options.has_more else DUPS_PER_KILL[options.store]
    return options


def main() -> int:
    """Exit code 0: passed."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    return tell("CHAOS", found, options.json or Path("build") / "bench" / f"chaos-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
