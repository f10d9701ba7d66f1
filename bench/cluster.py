"""A cluster under load: each node killed in turn, all rolled, one drained; nothing lost, never a standstill.

    python bench/cluster.py [--store sqlite|postgres|redis] [--jobs 20000] [--nodes 4] [--slots 10] [--job-ms 50]
                            [--rate 300] [--longest-gap 1.0] [--within 300] [--seed N] [--json FILE]

`callboard cluster up` runs the nodes. Half of the jobs wait from the start. More come at a steady rate while one node
after the other is killed, each once the one before is back, then while SIGHUP rolls them all, then while `callboard
cluster drain` takes one away; the rest comes when that is over. At the end SIGTERM drains what is left.

Prints one line, writes the same as JSON, and exits with 0 only if no job was lost, stored twice, stuck or written by a
stale attempt, every effect but those in hand at a kill happened once, some job ended at least once a second as long as
jobs came, never fewer than all nodes but one were ready while rolling (by the nodes' own ready files, looked at every
5 ms), every killed node came back, the drained one stayed away, and the cluster ended with code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from callboard import JobState, Runtime
from harness.places import PLACES, Place, row_of, stored_jobs, unfinished
from harness.processes import BENCH, clean_environment
from harness.producer import Producer
from harness.readiness import Readiness
from harness.records import Record, read_records
from harness.storm_node import QUEUE, jobs
from harness.tell import tell
from harness.verdict import Hit, judge

sys.path.append(str(Path(__file__).resolve().parents[1]))  # run as a script, a bench does not find tests/

from tests.support.clusters import ClusterUp, cluster_up

LOOK_S = 0.05
PORTION_S = 0.2  # of the jobs that come at the rate: after each is looked whether the faults are over


class Course:
    """What is done to the cluster, and what came of it."""

    def __init__(self, cluster: ClusterUp, nodes: int, env: dict[str, str], folder: Path) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._env = env
        self._folder = folder
        self.hits: list[Hit] = []
        self.back_s: list[float] = []  # from a kill until a node is ready in that place again
        self.rolled_s = 0.0
        self.fewest_ready = nodes
        self.drain_s = 0.0
        self.problems: list[str] = []

    def run(self) -> None:
        """Kill each, roll all, drain one."""
        for number in range(1, self._nodes + 1):
            self._kill(f"node-{number}")
        self._roll()
        self._drain(f"node-{self._nodes}")

    def _kill(self, name: str) -> None:
        ready = len(self._cluster.told("node ready", name))
        pid = self._cluster.pids()[name]
        began = time.monotonic()
        self.hits.append(Hit(pid, began))
        os.kill(pid, signal.SIGKILL)
        self._cluster.wait_told("node ready", ready + 1, name)
        self.back_s.append(time.monotonic() - began)

    def _roll(self) -> None:
        began = time.monotonic()
        with Readiness(self._cluster.ready_folder()) as readiness:
            self._cluster.tell(signal.SIGHUP)
            self._cluster.wait_told("cluster rolled")
        self.rolled_s = time.monotonic() - began
        self.fewest_ready = readiness.fewest
        if readiness.fewest < self._nodes - 1:
            self.problems.append(f"{readiness.fewest} of {self._nodes} nodes were ready while rolling")

    def _drain(self, name: str) -> None:
        pid = self._cluster.pids()[name]
        command = [sys.executable, "-m", "callboard", "cluster", "drain", f"{os.uname().nodename}:{pid}", "--wait"]
        began = time.monotonic()
        said = subprocess.run(command, env=self._env, cwd=self._folder, capture_output=True, text=True, check=False)
        self.drain_s = time.monotonic() - began
        if said.returncode:
            self.problems.append(f"cluster drain ended with {said.returncode}: {said.stderr.strip()}")
        self._cluster.wait_told("node was drained, and stays down until SIGHUP", node=name)


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The whole course, from an empty store to the verdict."""
    place: Place = PLACES[options.store](folder)
    await place.prepare()
    records = folder / "records"
    env = {
        **clean_environment(),
        "PYTHONPATH": str(BENCH),
        "CALLBOARD_STORE": place.url,
        "CALLBOARD_LEASE": "2s",
        "CALLBOARD_LEADER_LEASE": "2s",
        "CALLBOARD_MAX_CRASHES": "1000",  # here the killer is not the job
        "CLUSTER_RECORDS": str(records),
        "CLUSTER_JOB_MS": str(options.job_ms),
    }
    client = Runtime(place.url)
    client.include(jobs(str(records), options.job_ms))
    producer = Producer("storm", random.Random(options.seed))
    target, queue = "harness.cluster_program:runtime", f"{QUEUE}={options.slots}"
    with cluster_up(folder, options.nodes, "-q", queue, store=place.url, target=target, env=env) as cluster:
        course = Course(cluster, options.nodes, env, folder)
        began = time.monotonic()
        async with client:
            await producer.at_once(client, options.jobs // 2)
            produced, until = await produce_during(course, producer, client, options)
            if produced >= options.jobs:
                course.problems.append(f"all {produced} jobs had come before the course was over: lower --rate")
            await producer.at_once(client, options.jobs - produced)
            await finished(client, began + options.within)
            wall_s = time.monotonic() - began
            drained = [line["node"] for line in cluster.told("node starts")].count(f"node-{options.nodes}")
            exit_code = await asyncio.to_thread(cluster.end)
            rows = await stored_jobs(client)
            counts = await client.counts()
    recount = Counter(job.state.value for job in rows)
    wrong_counts = sum(counts[state.value] != recount[state.value] for state in JobState)
    done = read_records(records)
    found = [row_of(job, client) for job in rows]
    verdict = judge(producer.enqueues, found, done, course.hits, await place.accepted(), wrong_counts)
    gap_s = longest_gap_s(done, began, until)
    problems = [*verdict.problems(2.0 * options.slots * len(course.hits)), *course.problems]
    if gap_s > options.longest_gap:
        problems.append(f"no job ended for {gap_s:.2f} s")
    if exit_code:
        problems.append(f"the cluster ended with code {exit_code}")
    if drained != 3:
        problems.append(f"the drained node's place had {drained} processes, expected 3: first, after its kill, rolled")
    return {
        "store": options.store,
        "jobs": options.jobs,
        "nodes": options.nodes,
        "seed": options.seed,
        "kills": len(course.hits),
        **{name: round(value, 2) for name, value in asdict(verdict).items()},
        "back_after_a_kill_s": [round(seconds, 2) for seconds in course.back_s],
        "rolled_s": round(course.rolled_s, 2),
        "fewest_ready_while_rolling": course.fewest_ready,
        "drain_s": round(course.drain_s, 2),
        "longest_gap_s": round(gap_s, 3),
        "jobs_until_faults_were_over": produced,
        "refused_enqueues": producer.refused,
        "wall_s": round(wall_s, 1),
        "exit_code": exit_code,
        "verdict": "PASS" if not problems else "FAIL",
        "problems": problems,
    }


async def produce_during(
    course: Course, producer: Producer, client: Runtime, options: argparse.Namespace
) -> tuple[int, float]:
    """Enqueue at the rate until the course is over; how many jobs had come, and until when (monotonic)."""
    going = asyncio.ensure_future(asyncio.to_thread(course.run))
    produced = options.jobs // 2
    while not going.done() and produced < options.jobs:
        count = min(max(int(options.rate * PORTION_S), 1), options.jobs - produced)
        await producer.over(client, count, count / options.rate)
        produced += count
    until = time.monotonic()
    await going
    return produced, until


async def finished(client: Runtime, until: float) -> None:
    """Wait until every job has ended; what has not by then counts as stuck."""
    while await unfinished(client):
        if time.monotonic() > until:
            return
        await asyncio.sleep(LOOK_S)


def longest_gap_s(records: Sequence[Record], since: float, until: float) -> float:
    """The longest time without an effect, from the first one until then."""
    times = sorted(record.at for record in records if record.what == "effect" and since <= record.at <= until)
    if not times:
        return until - since
    return max((later - earlier for earlier, later in pairwise([*times, max(until, times[-1])])), default=0.0)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--slots", type=int, default=10)
    parser.add_argument("--job-ms", type=int, default=50)
    parser.add_argument("--rate", type=float, default=300.0, help="jobs a second while things go wrong")
    parser.add_argument("--longest-gap", type=float, default=1.0, help="seconds without a job that ended")
    parser.add_argument("--within", type=float, default=300.0, help="seconds for the whole")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/cluster-STORE.json]")
    options = parser.parse_args()
    if options.nodes < 2 or min(options.jobs, options.slots, options.job_ms) < 1 or options.rate <= 0:
        parser.error("expected at least 2 nodes, and at least one job, slot, millisecond and job a second")
    return options


def main() -> int:
    """Exit code 0: passed."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    return tell("CLUSTER", found, options.json or Path("build") / "bench" / f"cluster-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
