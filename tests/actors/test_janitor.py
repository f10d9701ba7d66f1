"""The janitor removes what is old, and only in a term that runs."""

from __future__ import annotations

import asyncio
import random

import pytest

from callboard import ChildSpec, JobState, Supervisor
from callboard.actors.janitor import EVERY_S, Janitor
from callboard.actors.node import NodeParts
from callboard.actors.node_log import NodeLog
from callboard.actors.tenure import Tenure
from callboard.kernel.clock import ManualClock
from callboard.storage.actor import StorageActor, StoreHealth
from callboard.storage.memory.driver import MemoryStore
from tests.support.eventually import eventually
from tests.support.node_hands import NodeHands

pytestmark = pytest.mark.anyio
BOOT_ID = b"J" * 16
RETENTION_S = 60.0


async def test_nothing_is_removed_while_the_term_may_be_over_and_all_once_it_runs_on() -> None:
    """A renewal that is answered late leaves a gap in the trust, not in the term: the janitor goes on after it."""
    clock, rng = ManualClock(), random.Random(1)
    store = MemoryStore(clock=clock)
    hands = NodeHands(store, clock, boot_id=BOOT_ID)
    ended = await hands.start()
    await hands.finish(ended, JobState.COMPLETED)
    [row] = await store.roles.campaign(["janitor"], holder=BOOT_ID, lease_ms=10_000_000)
    assert row.term is not None
    tenure = Tenure(row.term, clock, clock.monotonic())  # trusted no more
    node = NodeParts(
        boot_id=BOOT_ID,
        clock=clock,
        rng=rng,
        log=NodeLog("callboard.node"),
        definitions={},
        lease_s=30.0,
        max_crashes=5,
        poll_s=1.0,
    )
    commits = {"boot_id": BOOT_ID, "health": StoreHealth(), "rng": rng, "commits": "nobody"}
    given = {"node": node, "retention_s": RETENTION_S, "tenure": tenure}
    specs = [
        ChildSpec(StorageActor, id="store", args=(store,), kwargs=commits),
        ChildSpec(Janitor, id="janitor", args=(store,), kwargs=given),
    ]
    async with Supervisor(specs, clock=clock, rng=rng) as root:
        for _ in range(5):
            clock.advance(EVERY_S)
            await asyncio.sleep(0)
        await eventually(lambda: handled(root) >= 1)
        assert await hands.state(ended.id) is JobState.COMPLETED

        tenure.renewed(clock.monotonic() + 3600.0)
        clock.advance(EVERY_S)

        async def is_gone() -> bool:
            return await store.jobs.get([ended.id]) == [None]

        await eventually(is_gone)


def handled(root: Supervisor) -> int:
    """Messages that the janitor has had."""
    return next(info.handled for info in root.which_children() if info.id == "janitor")
