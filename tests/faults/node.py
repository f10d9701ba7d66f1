"""A node process whose handlers misbehave; what each does stands in its name.

    node.py QUEUE=SLOTS ...

Processes for handlers import this file too: where to keep records stands in the environment, which they inherit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass

from callboard import Ctx, Registry, Retry, Runtime
from harness.processes import READY_FILE
from harness.records import EffectLog

LOG = EffectLog(os.environ["NODE_RECORDS"])
registry = Registry()


def note(what: str, ctx: Ctx) -> None:
    LOG.write(what, ctx.id, ctx.fencing_token, ctx.attempt)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@registry.job
async def work(ctx: Ctx, seconds: float) -> int:
    note("start", ctx)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("interrupted", ctx)
        raise
    note("effect", ctx)
    return ctx.fencing_token


@registry.job(queue="mail")
async def mail(ctx: Ctx) -> int:
    note("start", ctx)
    await asyncio.sleep(0.01)
    note("effect", ctx)
    return ctx.fencing_token


@registry.job
async def ends_well(ctx: Ctx) -> int:
    note("start", ctx)
    return ctx.fencing_token


@registry.job
async def ends_without_cleanup(ctx: Ctx) -> None:
    note("start", ctx)
    os._exit(3)


@registry.job
async def killed_before_its_end_is_stored(ctx: Ctx) -> int:
    note("start", ctx)
    note("effect", ctx)
    if ctx.fencing_token == 1:
        die()
    return ctx.fencing_token


@dataclass
class Deadly:
    """Reading it as an argument kills the node while the file that it names is there."""

    path: str

    def __post_init__(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)
            die()


@registry.job
async def killed_before_it_starts(ctx: Ctx, deadly: Deadly) -> int:
    note("start", ctx)
    note("effect", ctx)
    return ctx.fencing_token


@registry.job
async def blocks_the_loop(ctx: Ctx, seconds: float) -> int:
    note("start", ctx)
    spin(time.monotonic() + seconds)
    note("effect", ctx)
    return ctx.fencing_token


def spin(until: float) -> None:
    while time.monotonic() < until:
        pass


@registry.job
async def keeps_the_loop_busy(ctx: Ctx, seconds: float) -> None:
    note("start", ctx)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        spin(time.monotonic() + 0.02)
        await asyncio.sleep(0)


@registry.job
async def swallows_cancellation(ctx: Ctx) -> None:
    note("start", ctx)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            note("interrupted", ctx)


@registry.job(process=True)
def work_in_process(seconds: float) -> int:
    LOG.write("start", "in-process", 0, 0)
    time.sleep(seconds)
    return os.getpid()


@registry.job(process=True, retry=Retry(max_attempts=1))
def dies_in_process() -> None:
    die()


@registry.job
async def plays_back(ctx: Ctx, other: str, here: str, left: int) -> int:
    """Enqueues itself to the other queue until nothing is left."""
    note("start", ctx)
    if left:
        await ctx.runtime.jobs["plays_back"].options(queue=other).enqueue(here, other, left - 1)
    return left


def main() -> None:
    runtime = Runtime()
    runtime.include(registry)
    if unknown := os.environ.get("NODE_WITHOUT"):
        del runtime._jobs[unknown]  # a node of an older version, before that job was written
    queues = {name: int(slots) for name, slots in (argument.split("=") for argument in sys.argv[1:])}
    runtime.run(queues, ready_file=os.environ[READY_FILE])


if __name__ == "__main__":
    main()
