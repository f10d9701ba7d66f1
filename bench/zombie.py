"""Jobs stopped past their lease and continued: every late write is refused, the second attempt's result stands.

    python bench/zombie.py [--store sqlite] [--jobs 100] [--job-ms 1500] [--lease 2] [--json FILE]

One node begins all jobs and is stopped (SIGSTOP) for longer than its lease. When another has begun all of them anew it
is continued. Each first attempt then ends, late, and besides writes to the store directly whatever a holder of the
lease may write (finish, retry, snooze, hand_back, heartbeat) under its old claim token. Exit code 0 only if not one of
these writes was accepted, no late end counted, and every job holds the answer of its second attempt.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

from callboard import JobState, Runtime
from callboard.kernel.codec import decode
from callboard.storage.ids import format_id
from callboard.storage.job import Job
from harness.places import PLACES, Place, stored_jobs, unfinished
from harness.processes import ProcPool
from harness.records import Record, read_records
from harness.storm_node import jobs
from harness.tell import tell

NODE = Path(__file__).parent / "harness" / "storm_node.py"
WITHIN_S = 60.0
LOOK_S = 0.02


async def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """From an empty store to the verdict."""
    place: Place = PLACES[options.store](folder)
    records = folder / "records"
    await place.prepare()
    runtime = Runtime(place.url)
    runtime.include(jobs(str(records), options.job_ms))
    arguments = [str(records), str(options.jobs), str(options.job_ms)]

    async def all_tried() -> bool:
        return len(read_records(records, "refused", "accepted")) == int(options.jobs)

    async def all_ended() -> bool:
        return await unfinished(runtime) == 0

    async with runtime:
        sleeper = runtime.jobs["sleeper"]
        await runtime.enqueue_many([sleeper.bind() for _ in range(options.jobs)])
        with ProcPool(folder, CALLBOARD_STORE=place.url, CALLBOARD_LEASE=f"{options.lease:g}s") as pool:
            first = pool.spawn(NODE, *arguments)
            await until("all jobs have begun", begun(records, first.pid, options.jobs))
            stopped_at = first.signal(signal.SIGSTOP)
            second = pool.spawn(NODE, *arguments)
            await until("the other node has begun all jobs", begun(records, second.pid, options.jobs))
            stopped_s = first.signal(signal.SIGCONT) - stopped_at
            await until("all late writes were tried", all_tried)
            await until("all jobs have ended", all_ended)
            late_ends = await ends_counted(runtime, first.pid)
            for proc in (first, second):
                proc.signal(signal.SIGTERM)
            exits = [proc.wait() for proc in (first, second)]
        rows = await stored_jobs(runtime)
    found = judge(rows, read_records(records), await place.accepted(), second.pid)
    is_passed = set(found.values()) == {options.jobs} and sum(late_ends.values()) == options.jobs and not any(exits)
    return {
        "store": options.store,
        "jobs": options.jobs,
        **found,
        **late_ends,
        "stopped_s": round(stopped_s, 2),
        "verdict": "PASS" if is_passed else "FAIL",
    }


def judge(
    rows: Sequence[Job], records: Sequence[Record], accepted: Sequence[tuple[str, int]], second: int
) -> dict[str, int]:
    """Jobs of which each claim is true; `second` is the process of the second attempts."""
    second_tokens = {record.job: record.token for record in records if record.what == "start" and record.pid == second}
    ends: dict[str, list[int]] = defaultdict(list)
    for job, token in accepted:
        ends[job].append(token)
    return {
        "late_writes_refused": sum(record.what == "refused" for record in records),
        "one_end_accepted": sum(ends[job] == [token] for job, token in second_tokens.items()),
        "second_result_stands": sum(
            job.state is JobState.COMPLETED
            and job.result is not None
            and decode(job.result) == job.claim_token == second_tokens.get(format_id(job.id))
            for job in rows
        ),
    }


async def ends_counted(runtime: Runtime, pid: int) -> dict[str, int]:
    """How the late attempts ended by the node's own count: their end refused by the store, or stopped before."""
    report: dict[str, Any] = {}

    async def is_idle() -> bool:
        for row in await runtime.node.store.nodes.list():
            if row.pid == pid and row.report:
                report.update(cast("dict[str, Any]", decode(row.report)))
        return "executing" in report and not report["executing"]

    await until("the continued node has counted its attempts", is_idle)
    return {name: report[name] for name in ("refused_writes", "lost_leases")}


def begun(records: Path, pid: int, jobs: int) -> Callable[[], Awaitable[bool]]:
    """Whether that process has begun an attempt of every job."""

    async def have_begun() -> bool:
        return len({record.job for record in read_records(records, "start") if record.pid == pid}) == jobs

    return have_begun


async def until(what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it; SystemExit when it does not come."""
    began = time.monotonic()
    while not await is_so():
        if time.monotonic() - began > WITHIN_S:
            raise SystemExit(f"not true within {WITHIN_S:g} s: {what}")
        await asyncio.sleep(LOOK_S)


def main() -> int:
    """Exit code 0: passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--job-ms", type=int, default=1500)
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/zombie-STORE.json]")
    options = parser.parse_args()
    if options.job_ms >= options.lease * 1000:
        parser.error("--job-ms: expected less than the lease, by which a late attempt is told from one in time")
    with tempfile.TemporaryDirectory(prefix="zombie-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    return tell("ZOMBIE", found, options.json or Path("build") / "bench" / f"zombie-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
