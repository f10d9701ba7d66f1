"""`callboard jobs list` and `callboard jobs show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import operate
from .failures import WrongUse, printable
from .options import WAIT, JsonOption, NameOption, QueueOption, StateOption, StoreOption, WaitOption, read_states

if TYPE_CHECKING:
    from ...storage.job import Job
    from ...storage.records import Failure, JobFilter

jobs_app = typer.Typer(help="Look at jobs, and act on them.", no_args_is_help=True, rich_markup_mode=None)


@jobs_app.command("list")
def list_jobs(
    state: StateOption = None,
    queue: QueueOption = None,
    name: NameOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Go on after this job.")] = None,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    from ...storage.ids import format_id, parse_id
    from ...storage.records import JobFilter
    from .describe import JOB_COLUMNS, job_object, job_row
    from .output import print_json, print_table, remark

    wanted = JobFilter(read_states(state or ()), queue, name)
    after = None if before is None else parse_id(before)
    found, total, now_ms = operate.run(_select(operate.place(store, wait), wanted, limit, after))
    next_page = format_id(found[-1].id) if len(found) == limit else None
    if as_json:
        print_json({"jobs": [job_object(job) for job in found], "matching": total, "before": next_page})
        return
    if found:
        print_table(JOB_COLUMNS, (job_row(job, now_ms) for job in found))
    more = f"; go on with --before {next_page}" if next_page is not None and total > len(found) else ""
    remark(f"{len(found):,} of {total:,} matching jobs{more}")


async def _select(
    place: operate.Place, wanted: JobFilter, limit: int, before: bytes | None
) -> tuple[list[Job], int, int]:
    """A page, how many match, and when that was."""
    async with operate.opened(place) as store:
        page = await store.jobs.select(wanted, limit=limit, before=before)
        return page, await store.jobs.count(wanted), operate.now_ms(store)


@jobs_app.command("show")
def show_job(
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Show a job, and each failed attempt whole."""
    from ...storage.ids import parse_id
    from .describe import carried, failure_object, job_object
    from .output import print_json

    job, failures, now_ms = operate.run(_read(operate.place(store, wait), job_id, parse_id(job_id)))
    if as_json:
        print_json(job_object(job) | carried(job) | {"failures": [failure_object(failure) for failure in failures]})
    else:
        _print_job(job, failures, now_ms)


async def _read(place: operate.Place, typed: str, job_id: bytes) -> tuple[Job, list[Failure], int]:
    async with operate.opened(place) as store:
        (job,) = await store.jobs.get([job_id])
        if job is None:
            raise WrongUse(f"no job {typed} in {place.shown}; `callboard jobs list` shows those that are there")
        return job, await store.jobs.failures(job_id), operate.now_ms(store)


def _print_job(job: Job, failures: list[Failure], now_ms: int) -> None:
    from .describe import job_facts
    from .output import Column, iso, print_table

    print_table((Column("fact", is_label=True), Column("value")), job_facts(job, now_ms), has_header=False)
    for failure in failures:
        error = failure.error
        print(f"\nattempt {failure.attempt} failed at {iso(failure.failed_at)} on node {failure.boot_id.hex()[:12]}")
        print(printable(error.traceback.rstrip() or f"{error.kind}: {error.message}"))
