"""`callboard prune`: remove jobs that ended long enough ago, now. Nodes do it all the time by their retention."""

from __future__ import annotations

from typing import Annotated

import typer

from . import operate
from .options import WAIT, JsonOption, StoreOption, WaitOption, read_seconds

BATCH = 1000  # a larger one would hold the store's lock too long


def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Jobs that ended before that. [setting retention, 24h]")
    ] = None,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Remove jobs that ended a while ago."""
    from ..settings import load_settings
    from .output import print_json, remark, span

    age_s = load_settings().retention_s if older_than is None else read_seconds(older_than, "--older-than")
    removed = operate.run(_prune(operate.place(store, wait), int(age_s * 1000)))
    if as_json:
        print_json({"pruned": removed, "older_than_s": age_s})
    else:
        remark(f"{removed:,} jobs pruned that ended more than {span(age_s)} ago")


async def _prune(place: operate.Place, age_ms: int) -> int:
    removed = 0
    async with operate.opened(place) as store:
        finished_before = operate.now_ms(store) - age_ms
        while batch := await store.jobs.prune(finished_before=finished_before, limit=BATCH):
            removed += batch
    return removed
