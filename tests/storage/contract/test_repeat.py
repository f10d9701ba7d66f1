"""A call whose reply was lost may be made again: the second time changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from callboard.storage.job import JobState
from callboard.storage.records import Node
from tests.support.node_hands import NodeHands, in_state, without_leases
from tests.support.stores import Place

Call = Callable[[], Awaitable[object]]
Setting = Callable[[NodeHands, Place], Awaitable[Call]]


async def insert(node: NodeHands, place: Place) -> Call:
    jobs = [node.new_job(), node.new_job(run_in_s=5)]
    return lambda: node.store.jobs.insert(jobs)


async def finish(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.finish(claimed, result=b"1")


async def fail(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.finish(claimed, JobState.FAILED, reason="attempts")


async def retry(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.retry(claimed)


async def snooze(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.snooze(claimed)


async def hand_back(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.hand_back(claimed)


async def hand_back_later(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.hand_back(claimed, run_in_s=5)


async def hand_back_of_a_cancelled_job(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    await node.cancel(claimed.id)
    return lambda: node.hand_back(claimed)


async def rescue(node: NodeHands, place: Place) -> Call:
    await node.start(lease_ms=1_000)
    await place.pass_time(2)
    return node.rescue


async def cancel_waiting(node: NodeHands, place: Place) -> Call:
    job_id = await node.enqueue()
    return lambda: node.cancel(job_id)


async def cancel_executing(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.cancel(claimed.id)


async def revive(node: NodeHands, place: Place) -> Call:
    claimed = await in_state(node, JobState.FAILED)
    return lambda: node.revive(claimed.id)


async def delete(node: NodeHands, place: Place) -> Call:
    job_id = await node.enqueue()
    return lambda: node.delete(job_id)


async def prune(node: NodeHands, place: Place) -> Call:
    await in_state(node, JobState.COMPLETED)
    bound = place.clock.wall_ms() + 1
    return lambda: node.store.jobs.prune(finished_before=bound, limit=10)


async def heartbeat(node: NodeHands, place: Place) -> Call:
    claimed = await node.start()
    return lambda: node.beat(claimed, progress=b"half")


async def pause(node: NodeHands, place: Place) -> Call:
    return lambda: node.store.queues.pause(["a"])


async def resume(node: NodeHands, place: Place) -> Call:
    await node.store.queues.pause(["a"])
    return lambda: node.store.queues.resume(["a"])


async def register(node: NodeHands, place: Place) -> Call:
    return lambda: node.store.nodes.register(Node(node.boot_id, "host", 1, "1", 0))


async def forget(node: NodeHands, place: Place) -> Call:
    await node.store.nodes.register(Node(node.boot_id, "host", 1, "1", 0))
    return lambda: node.store.nodes.forget([node.boot_id])


SETTINGS: list[Setting] = [
    insert,
    finish,
    fail,
    retry,
    snooze,
    hand_back,
    hand_back_later,
    hand_back_of_a_cancelled_job,
    rescue,
    cancel_waiting,
    cancel_executing,
    revive,
    delete,
    prune,
    heartbeat,
    pause,
    resume,
    register,
    forget,
]
# These tell by their answer that there was nothing left to do; all others answer the same again.
ANSWERED_OTHERWISE = {insert, rescue, delete, prune}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.__name__)
async def test_a_repeated_call_changes_nothing(node: NodeHands, place: Place, setting: Setting) -> None:
    call = await setting(node, place)
    untouched = await node.observe(), await node.store.nodes.list()
    first = await call()
    before = await without_leases(node), await node.store.nodes.list()
    assert (await node.observe(), await node.store.nodes.list()) != untouched

    second = await call()

    assert (await without_leases(node), await node.store.nodes.list()) == before
    assert second == first or setting in ANSWERED_OTHERWISE
