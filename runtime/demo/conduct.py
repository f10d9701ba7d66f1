"""How a run of the demo goes, top-down: enqueue, start nodes, watch, fan in, sum up.

The demo itself runs no job. It enqueues, starts two node processes on the same store and looks at the store's counters
until everything has ended; all that matters is in the store. So it may be stopped or killed at any moment, and the
same command with the same store goes on: ids are made from the files, and what is there already is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from ...kernel.clock import Clock
from ...kernel.errors import CallboardError
from ...kernel.signals import handle_signals
from ...storage.job import JobState
from ...storage.messages import InsertJobs
from ..enqueueing import WRITE_S
from ..patience import patiently
from ..runtime import Runtime
from .folder import Workload
from .jobs import file_jobs, jobs, make_report, new_jobs, report_id
from .node import SETTINGS
from .outcome import Outcome
from .processes import Crew
from .report import Report
from .screen import Screen

NODES = 2
SLOTS = 2  # for each node: one file is read while another is parsed; more would only wait for each other
LOOK_EVERY_S = 0.1
STOP_WITHIN_S = 8.0  # the nodes' grace and what comes after it


class NotShared(CallboardError, ValueError):
    """The store lives in one process only."""

    def __init__(self, store_url: str) -> None:
        super().__init__(
            f"the demo runs {NODES} processes: expected a store that they can share, such as sqlite:///demo.db; "
            f"found {store_url}"
        )


class NoReport(CallboardError):
    """Every file was done, and the last job did not complete."""


class Interrupted(CallboardError):
    """Somebody asked the demo to stop. The nodes have handed back what they held."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"stopped after {done:,} of {total:,} files")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    workload: Workload
    store_url: str
    folder: Path  # for the nodes' logs and ready files
    wait_s: float = 0.0  # how long a server that is not there yet is waited for
    kill: bool = False  # SIGKILL a ready node half-way


async def conduct(plan: Plan, screen: Screen, clock: Clock, tell: Callable[[str], object]) -> Outcome:
    """Run the demo to its end; `tell` gets a line while the store's server is not there yet.

    Raises `Interrupted` after SIGINT or SIGTERM, and what the store or the nodes raise.
    """
    runtime = Runtime(plan.store_url, settings=SETTINGS, migrate=True)
    runtime.include(jobs)
    async with AsyncExitStack() as opened:
        await patiently(lambda: opened.enter_async_context(runtime), wait_s=plan.wait_s, tell=tell)
        if not runtime.node.store.is_shared:
            raise NotShared(plan.store_url)
        since = clock.monotonic()
        done_before = await _enqueue(runtime, plan.workload, screen)
        done = await _work(runtime, plan, screen, clock)
        report = await _report(runtime, plan.workload)
        return await _sum_up(runtime, plan.workload, report, done - done_before, clock.monotonic() - since)


async def _enqueue(runtime: Runtime, workload: Workload, screen: Screen) -> int:
    """One transaction for everything; how many files had been done before."""
    asked = new_jobs(runtime, workload)
    created = await runtime.node.storage.ask(InsertJobs(asked), timeout=WRITE_S)
    total = len(workload.paths)
    screen.say(f"{total:,} Python files below {workload.root}, one job each")
    done = _ended(await runtime.counts(workload.queue), total)
    if not all(created):
        screen.say(f"this store knows them: {done:,} were done before, {total - done:,} are left")
    return done


async def _work(runtime: Runtime, plan: Plan, screen: Screen, clock: Clock) -> int:
    """Keep the nodes going until every job has ended; how many files are done then."""
    total = len(plan.workload.paths)
    crew = Crew(size=NODES, store=plan.store_url, queue=plan.workload.queue, slots=SLOTS, folder=plan.folder)
    kills = 1 if plan.kill else 0
    stop = asyncio.Event()
    with handle_signals(drain=stop.set, interrupt=crew.interrupt):
        try:
            while not stop.is_set():
                counts = await runtime.counts(plan.workload.queue)
                done = _ended(counts, total)
                screen.progress(done, total, len(crew.ready))
                if not _unfinished(counts):
                    return done
                if kills and done * 2 >= total and (killed := crew.kill_one()):
                    kills -= 1
                    screen.say(f"killed node {killed.number} (SIGKILL, pid {killed.pid}); another takes its place")
                crew.fill()
                await clock.sleep(LOOK_EVERY_S)
        finally:
            await asyncio.to_thread(crew.stop, STOP_WITHIN_S)
    raise Interrupted(_ended(await runtime.counts(plan.workload.queue), total), total)  # what ran came to its end


async def _report(runtime: Runtime, workload: Workload) -> Report:
    """What the last job came to."""
    row = await runtime.stored_job(report_id(workload))
    if row is not None and row.state is JobState.COMPLETED and row.result is not None:
        report: Report = make_report.definition.decode_result(row.result)
        return report
    found = "it is gone" if row is None else f"it is {row.state}"
    why = [] if row is None else await runtime.failures(row.id)
    said = f": {why[-1].error.kind}: {why[-1].error.message}" if why else ""
    raise NoReport(f"the files are done, but the job that makes the report did not complete: {found}{said}")


async def _sum_up(runtime: Runtime, workload: Workload, report: Report, ended: int, seconds: float) -> Outcome:
    jobs_seen = completed = attempts = crashes = 0
    async for row in file_jobs(runtime, workload.queue):
        jobs_seen += 1
        completed += row.state is JobState.COMPLETED
        attempts += row.attempt + row.crashes  # a rescue restores the attempt that the dead node had begun
        crashes += row.crashes
    return Outcome(
        jobs=jobs_seen,
        completed=completed,
        failed=jobs_seen - completed,
        attempts=attempts,
        rescued=crashes,
        nodes=NODES,
        seconds=round(seconds, 3),
        jobs_per_second=round(ended / seconds, 1),
        report=report,
    )


def _ended(counts: Mapping[str, int], total: int) -> int:
    # The last job ends after all others, so it only ever shows as one more than there are files.
    return min(total, sum(count for state, count in counts.items() if JobState(state).is_terminal))


def _unfinished(counts: Mapping[str, int]) -> int:
    return sum(count for state, count in counts.items() if not JobState(state).is_terminal)
