"""Stops a node's work in the order that loses nothing: stop claiming, let run, interrupt, hand back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..actors.dispatcher import StopClaiming
from ..actors.membership import StateChanged
from ..actors.node import NodeParts
from ..actors.worker import STUBBORN_S, SWEEP_S, Drain, Interrupt
from ..kernel.clock import Clock
from ..kernel.errors import CallboardError
from ..kernel.supervisor import Supervisor

LAST_WRITES_S = 0.5  # for outcomes that are on their way to the store when the last attempt has stopped


async def drain(
    root: Supervisor, node: NodeParts, queues: Iterable[str], *, grace_s: float, hurry: asyncio.Event
) -> None:
    """Bring all attempts of `queues` to an end within `grace_s` and a second, or sooner once `hurry` is set.

    1. Nothing is claimed any more. 2. Jobs run on, leases and heartbeats too, until `grace_s`; what had not started
    goes back at once. 3. What still runs is cancelled. 4. It is handed back, attempt restored.
    """
    names = list(queues)
    ends = node.clock.monotonic() + grace_s
    node.is_draining = True
    root.ref("membership").try_tell(StateChanged())
    await asyncio.gather(*(_stop_claiming(root, queue) for queue in names))
    drained = [asyncio.Event() for _ in names]
    for queue, done in zip(names, drained, strict=True):
        root.ref(f"queues/{queue}/worker").try_tell(Drain(done))
    everything = asyncio.ensure_future(_all(drained))
    try:
        await _until(everything, hurry, ends, node.clock)
        if not everything.done():
            for queue in names:
                root.ref(f"queues/{queue}/worker").try_tell(Interrupt())
            limit = node.clock.monotonic() + STUBBORN_S + 2 * SWEEP_S + LAST_WRITES_S
            await _until(everything, asyncio.Event(), limit, node.clock)
    finally:
        everything.cancel()


async def _stop_claiming(root: Supervisor, queue: str) -> None:
    try:
        await root.ref(f"queues/{queue}/dispatcher").ask(StopClaiming(), timeout=2.0)
    except CallboardError:
        return  # parked, or stuck behind a store that does not answer: then it claims nothing either


async def _all(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _until(done: asyncio.Future[None], hurry: asyncio.Event, ends: float, clock: Clock) -> None:
    """Wait for `done`, but not beyond `ends` (monotonic) nor once `hurry` is set."""
    hurried = asyncio.ensure_future(hurry.wait())
    late = asyncio.ensure_future(clock.sleep(max(ends - clock.monotonic(), 0.0)))
    try:
        waited: set[asyncio.Future[Any]] = {done, hurried, late}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurried.cancel()
        late.cancel()
