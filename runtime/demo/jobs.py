"""The demo's two jobs: one for each file, and the last one, which makes the report of what the others found.

The last job is enqueued in the same transaction as the files' and snoozes until they have all ended. So the whole
workload is in the store from the first moment: whoever is killed, be it a node or the demo itself, any node that works
on the queue brings it to its end, and a report can only be made of everything. It has the lowest priority, so it is
first looked at when every file has been claimed, and snoozes over the last few only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...actors.context import Ctx
from ...actors.outcome import Snooze
from ...actors.retry import Retry
from ...storage.job import Job as JobRow
from ...storage.job import JobState, NewJob
from ...storage.records import JobFilter
from ..enqueueing import new_rows
from ..job import Call, Registry
from .folder import Workload
from .index import UNPARSABLE, IndexedFile, index_source
from .report import UNPARSED_SHOWN, Report, Tally

if TYPE_CHECKING:
    from ..runtime import Runtime

PAGE = 500  # jobs that are read at once
LOOK_AGAIN_S = 0.2

jobs = Registry()

# A file that cannot be read may be readable a moment later. One that is no Python stays so: one attempt, then failed.
_retry = Retry(max_attempts=3, never=(*UNPARSABLE, FileNotFoundError, PermissionError))


@jobs.job(name="codeindex.file", retry=_retry)
def index_file(root: str, path: str, *, raw: bytes | None = None) -> IndexedFile:
    """Index the file `path` below `root`; `raw` is its whole name where that is no text."""
    file = Path(root, path) if raw is None else Path(os.fsdecode(raw))
    return index_source(file.read_bytes(), path)


@jobs.job(name="codeindex.report", priority=3)
async def make_report(ctx: Ctx) -> Report | Snooze:
    """Fan in: the report on every file of this job's queue, once all of them have ended."""
    runtime: Runtime = ctx.runtime
    counts = await runtime.counts(ctx.queue)
    if sum(count for state, count in counts.items() if not JobState(state).is_terminal) > 1:  # one of them is this one
        return Snooze(LOOK_AGAIN_S)
    tally = Tally()
    failed: list[tuple[str, JobRow]] = []
    async for row in file_jobs(runtime, ctx.queue):
        if row.state is JobState.COMPLETED and row.result is not None:
            tally.add(index_file.definition.decode_result(row.result))
        else:
            args, _ = index_file.definition.decode_call(row.payload)
            failed.append((args[1], row))
    for number, (path, row) in enumerate(sorted(failed, key=lambda item: item[0])):
        tally.add_unparsed(path, await _why(runtime, row) if number < UNPARSED_SHOWN else "")
    return tally.report()


async def file_jobs(runtime: Runtime, queue: str) -> AsyncIterator[JobRow]:
    """Every file's job as it is stored, read page by page."""
    wanted = JobFilter(queue=queue, name=index_file.name)
    before: bytes | None = None
    while page := await runtime.node.store.jobs.select(wanted, limit=PAGE, before=before):
        for row in page:
            yield row
        before = page[-1].id


def new_jobs(runtime: Runtime, workload: Workload) -> list[NewJob]:
    """What the workload asks for: a job for each file and the last one, under ids that are always the same."""
    root = str(workload.root)
    index = index_file.options(queue=workload.queue)
    calls: list[Call[Any]] = []
    for path in workload.paths:
        raw = None if _is_text(root + path) else os.fsencode(workload.root / path)
        calls.append(index.bind(_as_text(root), _as_text(path), raw=raw))
    calls.append(make_report.options(queue=workload.queue).bind())
    ids = [*map(workload.job_id, workload.paths), report_id(workload)]
    rows = new_rows(runtime.node, calls)
    return [row._replace(id=job_id) for row, job_id in zip(rows, ids, strict=True)]


def report_id(workload: Workload) -> bytes:
    """The id of the last job."""
    return workload.job_id("")


async def _why(runtime: Runtime, row: JobRow) -> str:
    failures = await runtime.failures(row.id)
    if row.state is JobState.FAILED and failures:
        return f"{failures[-1].error.kind}: {failures[-1].error.message}"
    return f"{row.state}: {row.reason}" if row.reason else str(row.state)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, as Python shows them
        return False
    return True


def _as_text(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()
