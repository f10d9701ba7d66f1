"""A queue whose actors crash without end is parked, and takes nothing with it."""

from __future__ import annotations

import pytest

from callboard import Runtime
from callboard.actors.worker import Worker
from callboard.kernel.codec import decode
from tests.support.eventually import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]

WAIT_S = 30.0


async def test_a_worker_that_always_crashes_keeps_no_leases(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    @runtime.job(queue="cursed")
    async def never_runs() -> None:
        raise AssertionError("its worker crashes before")

    @runtime.job(queue="sound")
    async def runs() -> str:
        return "done"

    assign = Worker._assign

    def crash(worker: Worker, jobs: list[object]) -> None:
        if worker._queue == "cursed":
            raise RuntimeError("broken on purpose")
        assign(worker, jobs)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "_assign", crash)
    async with runtime, runtime.work() as node:
        handle = await never_runs.enqueue()

        def is_parked() -> bool:
            return "cursed" in decode(node.report())["parked"]  # type: ignore[index]

        await eventually(is_parked, within_s=WAIT_S)

        async def is_unharmed() -> bool:
            job = await handle.job()
            return (job.state, job.attempt, job.crashes) == ("available", 0, 0)

        await eventually(is_unharmed, within_s=WAIT_S)
        assert await (await runs.enqueue()).result(timeout=WAIT_S) == "done"
