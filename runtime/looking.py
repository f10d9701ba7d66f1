"""What is done with one job through an open runtime: waiting for its end, cancelling it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..actors.results import Await, NotWaiting
from ..kernel.errors import CallboardError
from ..storage.ids import format_id
from ..storage.job import Job
from ..storage.messages import CancelJobs
from ..storage.records import CancelAnswer
from .enqueueing import WRITE_S
from .handle import ResultTimeout

if TYPE_CHECKING:
    from .node import Node

ENDING_PAUSE_S = 0.1  # until a job is looked at again that an open transaction of its handler ends


class NotOpen(CallboardError, RuntimeError):
    """The runtime is not open on this event loop."""

    def __init__(self) -> None:
        super().__init__(
            "the runtime is not open here: expected `async with runtime:` or `async with runtime.work():` around this"
            " call, on the same event loop (from a thread without a loop use the _sync methods)"
        )


async def wait_for_end(node: Node, job_id: bytes, timeout_s: float | None) -> Job | None:
    """The row once it is terminal; None if there is none. Raises `ResultTimeout`."""
    clock = node.parts.clock
    ends = None if timeout_s is None else clock.monotonic() + timeout_s
    while True:
        end: asyncio.Future[Job | None] = node.loop.create_future()
        await node.results.tell(Await(job_id, end))
        try:
            return await clock.wait(end, None if ends is None else max(ends - clock.monotonic(), 0.0))
        except NotWaiting:
            continue
        except TimeoutError:
            raise ResultTimeout(format_id(job_id), timeout_s or 0.0) from None


async def cancel_one(node: Node, job_id: bytes, reason: str) -> CancelAnswer:
    """What the cancel met; where an open transaction of the handler ends the job, as long as a write is waited for."""
    clock = node.parts.clock
    ends = clock.monotonic() + WRITE_S
    while True:
        [answer] = await node.storage.ask(CancelJobs((job_id,), reason), timeout=WRITE_S)
        if answer is not CancelAnswer.ENDING or clock.monotonic() >= ends:
            return answer
        await clock.sleep(ENDING_PAUSE_S)
