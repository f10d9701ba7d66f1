"""Leases go by the machine's monotonic clock: the wall clock moves none, a restart of the machine ends all."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import Clock, ManualClock
from callboard.storage.job import JobState
from callboard.storage.sqlite.host import Host
from tests.support.node_hands import NodeHands

from .conftest import Opener


class BootedHost(Host):
    """A machine in its nth run."""

    def __init__(self, run: int) -> None:
        self._run = run

    def boot_id(self, clock: Clock) -> str:
        return f"run {self._run}"


@pytest.mark.parametrize("hours", [-30, 30])
async def test_f45_a_jump_of_the_wall_clock_moves_no_lease(node: NodeHands, clock: ManualClock, hours: int) -> None:
    claimed = await node.start()

    clock.jump_wall(hours * 3600)

    assert await node.rescue() == []
    assert (await node.beat(claimed)).lost == []
    assert await node.finish(claimed)


async def test_a_restart_of_the_machine_ends_every_lease(open_store: Opener, clock: ManualClock) -> None:
    store = await open_store(host=BootedHost(1))
    before = NodeHands(store, clock, boot_id=b"A" * 16)
    claimed = await before.start(lease_ms=3_600_000)
    await store.close()

    # The monotonic clock begins again, far below the old lease.
    clock = ManualClock(monotonic=5)
    store = await open_store(host=BootedHost(2), clock=clock)
    after = NodeHands(store, clock, boot_id=b"B" * 16)

    assert [one.id for one in await after.rescue()] == [claimed.id]
    assert await after.state(claimed.id) is JobState.AVAILABLE


async def test_a_restart_of_the_process_ends_no_lease(open_store: Opener, clock: ManualClock) -> None:
    store = await open_store(host=BootedHost(1))
    await NodeHands(store, clock, boot_id=b"A" * 16).start()
    await store.close()

    store = await open_store(host=BootedHost(1))

    assert await NodeHands(store, clock, boot_id=b"B" * 16).rescue() == []


def test_this_machine_names_its_run() -> None:
    clock = ManualClock()

    assert Host().boot_id(clock) == Host().boot_id(clock) != ""
