"""heartbeat: leases go on, and a node learns what it lost, what it should stop and what it forgot."""

from __future__ import annotations

from callboard.kernel.clock import ManualClock
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Beat, HandBack, HeartbeatReply, Node, Orphan
from tests.support.node_hands import LEASE_MS, NodeHands
from tests.support.stores import Place


async def test_heartbeat_renews_the_lease(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)

    assert await node.beat(claimed, lease_ms=60_000) == HeartbeatReply([], [], [])

    await place.pass_time(30)
    assert await node.rescue() == []
    await place.pass_time(31)
    assert len(await node.rescue()) == 1


async def test_heartbeat_of_one_job_leaves_the_other_to_expire(node: NodeHands, place: Place) -> None:
    kept, left = await node.start(lease_ms=1_000), await node.start(lease_ms=1_000)

    await node.beat(kept, lease_ms=60_000)
    await place.pass_time(2)

    assert [rescued.id for rescued in await node.rescue()] == [left.id]


async def test_heartbeat_may_shorten_a_lease(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=600_000)

    await node.beat(claimed, lease_ms=1_000)
    await place.pass_time(2)

    assert [rescued.id for rescued in await node.rescue()] == [claimed.id]


async def test_heartbeat_keeps_a_lease_that_ran_out_unnoticed(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(5)

    assert (await node.beat(claimed)).lost == []

    assert await node.rescue() == []


async def test_heartbeat_reports_lost_leases_in_the_order_asked(node: NodeHands, place: Place) -> None:
    await node.enqueue_many(4)
    claims = await node.claim(4)
    await node.finish(claims[3])
    await node.retry(claims[1])

    assert (await node.beat(*reversed(claims))).lost == [claims[3].id, claims[1].id]


async def test_heartbeat_of_a_rescued_job_is_lost_and_does_not_revive_the_lease(node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(2)
    await node.rescue()
    before = await node.observe()

    assert (await node.beat(claimed, progress=b"late")).lost == [claimed.id]

    assert await node.observe() == before


async def test_heartbeat_of_a_job_that_another_node_took_is_lost(
    node: NodeHands, other_node: NodeHands, place: Place
) -> None:
    claimed = await node.start(lease_ms=1_000)
    await place.pass_time(2)
    await node.rescue()
    taken = await other_node.claim_one()

    assert (await node.beat(claimed)).lost == [claimed.id]

    assert (await other_node.beat(taken)).lost == []


async def test_heartbeat_of_unknown_and_deleted_jobs_is_lost(node: NodeHands) -> None:
    claimed = await node.start()
    await node.finish(claimed)
    await node.delete(claimed.id)
    unknown = claimed._replace(id=b"?" * 16)

    assert (await node.beat(claimed, unknown)).lost == [claimed.id, unknown.id]


async def test_heartbeat_tells_of_a_cancel_until_the_job_ends(node: NodeHands) -> None:
    first, second = await node.start(), await node.start()
    await node.cancel(second.id)

    assert (await node.beat(first, second)).cancel_requested == [second.id]
    assert (await node.beat(first, second)).cancel_requested == [second.id]

    await node.finish(second, JobState.CANCELLED)
    assert await node.beat(first) == HeartbeatReply([], [], [])


async def test_heartbeat_finds_leases_that_the_node_does_not_know(node: NodeHands) -> None:
    known = await node.start(queue="a")
    forgotten = await node.start(queue="b")

    reply = await node.beat(known)

    assert reply == HeartbeatReply([], [], [Orphan(forgotten.id, forgotten.claim_token, "b")])


async def test_an_orphan_can_be_handed_back(node: NodeHands) -> None:
    await node.start()
    [orphan] = (await node.beat()).orphans

    back = HandBack(orphan.id, orphan.claim_token, orphan.queue)
    assert await node.store.jobs.hand_back([back], boot_id=node.boot_id) == [True]
    assert (await node.beat()).orphans == []
    assert (await node.claim_one()).attempt == 1


async def test_leases_of_another_node_are_no_orphans(node: NodeHands, other_node: NodeHands) -> None:
    await other_node.start()

    assert await node.beat() == HeartbeatReply([], [], [])


async def test_heartbeat_keeps_progress_and_leaves_it_without_news(node: NodeHands) -> None:
    claimed = await node.start()

    await node.beat(claimed, progress=b"\x93half")
    await node.beat(claimed)

    assert (await node.job(claimed.id)).progress == b"\x93half"


async def test_progress_stays_when_the_job_ends(node: NodeHands) -> None:
    claimed = await node.start()
    await node.beat(claimed, progress=b"done")

    await node.finish(claimed)

    assert (await node.job(claimed.id)).progress == b"done"


async def test_heartbeat_renews_the_row_of_its_node(
    store: Store, node: NodeHands, place: Place, clock: ManualClock
) -> None:
    row = Node(node.boot_id, "host", 1, "1.0", clock.wall_ms(), b"old")
    await store.nodes.register(row)
    await place.pass_time(3)

    await node.beat(report=b"new")

    [seen] = await store.nodes.list()
    assert (seen.report, seen.seen_at, seen.started_at) == (b"new", clock.wall_ms(), row.started_at)


async def test_heartbeat_renews_leases_without_a_node_row(store: Store, node: NodeHands, place: Place) -> None:
    claimed = await node.start(lease_ms=1_000)

    await node.beat(claimed, lease_ms=60_000, report=b"x")

    await place.pass_time(30)
    assert await node.rescue() == []
    assert list(await store.nodes.list()) == []


async def test_heartbeat_renews_five_hundred_leases_in_one_call(store: Store, node: NodeHands, place: Place) -> None:
    await node.enqueue_many(500)
    claims = await node.claim(500, lease_ms=1_000)
    handle = store.heartbeats()
    await handle.open()
    beats = [Beat(claimed.id, claimed.claim_token) for claimed in claims]

    reply = await handle.heartbeat(beats, boot_id=node.boot_id, lease_ms=LEASE_MS, report=b"")
    await handle.close()

    assert reply._replace(up_ms=None) == HeartbeatReply([], [], [])
    await place.pass_time(5)
    assert await node.rescue() == []
