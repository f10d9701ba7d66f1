"""What goes on beside a fault: time that passes, and a client that enqueues without a pause."""

from __future__ import annotations

import asyncio
import time

from callboard import Handle
from tests.faults.stage import Stage
from tests.support.eventually import eventually


async def passing(seconds: float) -> None:
    """That much time, which is the fault and not a wait for anything."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= until, within_s=seconds + 5)


class Load:
    """Enqueues one short job after the other, as fast as they are acknowledged but at most 100 a second."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.acknowledged: list[Handle[object]] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.acknowledged.append(await self._stage.enqueue("mail", queue="mail"))
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    def effects_since(self, moment: float) -> int:
        """Of its jobs, which ended since."""
        ours = {handle.id for handle in self.acknowledged}
        return sum(record.at >= moment and record.job in ours for record in self._stage.records("effect"))
