"""A node process for chaos.py and zombie.py: its handlers record what they do and answer with their fencing token.

storm_node.py RECORDS SLOTS JOB_MS
"""

from __future__ import annotations

import asyncio
import os
import sys

from callboard import Ctx, Registry, Runtime
from callboard.storage.ids import parse_id
from callboard.storage.job import JobState
from callboard.storage.records import Beat, ErrorRecord, Finish, HandBack, Retry, Snooze
from harness.processes import READY_FILE
from harness.records import EffectLog
from harness.tx_jobs import Effects

QUEUE = "storm"
WAIT = "30s"  # for a server that is away when the process starts
LATE = ErrorRecord("late", "written by an attempt that had lost its lease", "")


def jobs(records: str, job_ms: int) -> Registry:
    """The handlers. What only enqueues them never opens `records`."""
    registry = Registry()
    log: list[EffectLog] = []
    late: set[asyncio.Task[None]] = set()

    def note(what: str, ctx: Ctx) -> None:
        if not log:
            log.append(EffectLog(records))
        log[0].write(what, ctx.id, ctx.fencing_token, ctx.attempt)

    @registry.job(queue=QUEUE)
    async def storm(ctx: Ctx, number: int) -> int:
        note("start", ctx)
        await asyncio.sleep(job_ms / 1000)
        note("effect", ctx)
        return ctx.fencing_token

    in_transaction: list[Effects] = []

    @registry.job(queue=QUEUE)
    async def storm_tx(ctx: Ctx, number: int) -> int:
        """The same, its effect a row that is committed together with its end."""
        if not in_transaction:
            in_transaction.append(Effects(ctx.runtime.store_url))
        note("start", ctx)
        await asyncio.sleep(job_ms / 1000)
        return await in_transaction[0].end(ctx)

    @registry.job(queue=QUEUE)
    async def sleeper(ctx: Ctx) -> int:
        """Stopped in its first attempt; continued, it writes all that a holder of the lease may write, and ends."""
        note("start", ctx)
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(job_ms / 1000)
        finally:
            if asyncio.get_running_loop().time() - began > ctx.runtime.settings.lease_s:
                task = asyncio.create_task(write_late(ctx))
                late.add(task)
                task.add_done_callback(late.discard)
        note("effect", ctx)
        return ctx.fencing_token

    async def write_late(ctx: Ctx) -> None:
        """Past all that the node knows of its leases, straight to the store: each verb under the old token."""
        store, boot_id = ctx.runtime.node.store, ctx.runtime.node.parts.boot_id
        job_id, token = parse_id(ctx.id), ctx.fencing_token
        end = Finish(job_id, token, QUEUE, JobState.COMPLETED, ctx.attempt, b"\xc0")
        answers = [
            await store.jobs.finish([end], boot_id=boot_id),
            await store.jobs.retry([Retry(job_id, token, QUEUE, ctx.attempt, 0, LATE)], boot_id=boot_id),
            await store.jobs.snooze([Snooze(job_id, token, QUEUE, 0)], boot_id=boot_id),
            await store.jobs.hand_back([HandBack(job_id, token, QUEUE, None)], boot_id=boot_id),
        ]
        beats = store.heartbeats()
        await beats.open()
        reply = await beats.heartbeat([Beat(job_id, token, None)], boot_id=boot_id, lease_ms=60_000, report=b"")
        await beats.close()
        is_refused = answers == [[False]] * len(answers) and job_id in reply.lost
        note("refused" if is_refused else "accepted", ctx)

    return registry


def main() -> None:
    """Run until a signal."""
    records, slots, job_ms = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    runtime = Runtime()
    runtime.include(jobs(records, job_ms))
    runtime.run({QUEUE: slots}, ready_file=os.environ[READY_FILE], wait=WAIT)


if __name__ == "__main__":
    main()
