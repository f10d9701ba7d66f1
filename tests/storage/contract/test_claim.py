"""claim: order, limits, leases, promotion of what is due."""

from __future__ import annotations

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import ClaimReply, ClaimRequest
from tests.support.node_hands import LEASE_MS, NodeHands, in_state
from tests.support.stores import Place

pytestmark = pytest.mark.wheel


async def test_claim_gives_all_that_a_handler_needs(store: Store, node: NodeHands, clock: ManualClock) -> None:
    new = node.new_job(name="a.b", queue="q", payload=b"x", priority=1, timeout_ms=900)
    await store.jobs.insert([new])

    [claimed] = await node.claim(queue="q")

    assert claimed == Claimed(
        id=new.id,
        name="a.b",
        queue="q",
        payload=b"x",
        priority=1,
        attempt=1,
        claim_token=1,
        crashes=0,
        inserted_at=clock.wall_ms(),
        timeout_ms=900,
    )


async def test_claim_leases_the_job(node: NodeHands, place: Place, clock: ManualClock) -> None:
    job_id = await node.enqueue()
    await place.pass_time(2)

    await node.claim_one()

    job = await node.job(job_id)
    assert (job.state, job.attempt, job.claim_token, job.boot_id) == (JobState.EXECUTING, 1, 1, node.boot_id)
    assert job.started_at == clock.wall_ms()
    assert job.lease_until is not None


async def test_a_longer_lease_ends_later(node: NodeHands) -> None:
    short = await node.start(lease_ms=1_000)
    long = await node.start(lease_ms=60_000)

    ends = [(await node.job(claimed.id)).lease_until for claimed in (short, long)]

    assert ends[0] is not None
    assert ends[1] is not None
    assert 55_000 < ends[1] - ends[0] < 65_000  # a server's own clock goes on between the two


async def test_claim_of_an_empty_or_unknown_queue_gives_nothing(store: Store, node: NodeHands) -> None:
    assert await node.ask(queue="nobody") == ClaimReply([], None)

    assert await store.queues.list() == []


async def test_claim_of_nothing_is_legal(store: Store, node: NodeHands) -> None:
    assert await store.jobs.claim([], boot_id=node.boot_id, lease_ms=LEASE_MS) == []


async def test_claim_gives_at_most_the_limit(node: NodeHands) -> None:
    ids = await node.enqueue_many(5)

    first, second = await node.claim(3), await node.claim(3)

    assert [claimed.id for claimed in first] == ids[:3]
    assert [claimed.id for claimed in second] == ids[3:]


async def test_claim_with_limit_zero_leases_nothing(node: NodeHands) -> None:
    await node.enqueue()

    assert await node.claim(0) == []

    assert len(await node.claim()) == 1


async def test_claim_never_gives_a_job_twice(node: NodeHands) -> None:
    await node.enqueue_many(10)

    assert len(await node.claim(10)) == 10
    assert await node.claim(10) == []


async def test_claim_takes_urgent_jobs_first(node: NodeHands, place: Place) -> None:
    ids = {}
    for priority in (3, 1, 2, 0):
        ids[priority] = await node.enqueue(priority=priority)
        await place.pass_time(1)

    assert [claimed.id for claimed in await node.claim()] == [ids[0], ids[1], ids[2], ids[3]]


async def test_claim_takes_older_jobs_first_within_a_priority(node: NodeHands, place: Place) -> None:
    ids = []
    for _ in range(4):
        ids.append(await node.enqueue())
        await place.pass_time(1)

    assert [claimed.id for claimed in await node.claim()] == ids


async def test_claim_breaks_ties_by_id(store: Store, node: NodeHands) -> None:
    jobs = [node.new_job() for _ in range(6)]

    await store.jobs.insert([jobs[index] for index in (3, 0, 5, 1, 4, 2)])

    assert [claimed.id for claimed in await node.claim()] == [job.id for job in jobs]


async def test_a_job_dated_back_goes_before_newer_ones(node: NodeHands) -> None:
    new = await node.enqueue()
    old = await node.enqueue(run_in_s=-60)

    assert [claimed.id for claimed in await node.claim()] == [old, new]


async def test_order_holds_when_the_wall_clock_went_back(node: NodeHands, clock: ManualClock) -> None:
    later = await node.enqueue_many(3)
    clock.jump_wall(-3600)
    earlier = await node.enqueue_many(3)

    assert [claimed.id for claimed in await node.claim(4)] == [*earlier, later[0]]
    assert [claimed.id for claimed in await node.claim(4)] == later[1:]


async def test_claim_order_within_one_batch_is_kept_over_limits(node: NodeHands) -> None:
    low = [await node.enqueue(priority=3) for _ in range(3)]
    high = [await node.enqueue(priority=0) for _ in range(3)]

    batches = [[claimed.id for claimed in await node.claim(2)] for _ in range(3)]

    assert batches == [high[:2], [high[2], low[0]], low[1:]]


async def test_claim_answers_each_request_for_its_queue(store: Store, node: NodeHands) -> None:
    a = await node.enqueue_many(3, queue="a")
    b = await node.enqueue_many(3, queue="b")

    wishes = [ClaimRequest("b", 2), ClaimRequest("none", 5), ClaimRequest("a", 9)]
    replies = await store.jobs.claim(wishes, boot_id=node.boot_id, lease_ms=LEASE_MS)

    assert [[claimed.id for claimed in reply.jobs] for reply in replies] == [b[:2], [], a]


async def test_two_requests_for_one_queue_share_its_jobs(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(5)

    wishes = [ClaimRequest("default", 2), ClaimRequest("default", 2)]
    replies = await store.jobs.claim(wishes, boot_id=node.boot_id, lease_ms=LEASE_MS)

    assert [[claimed.id for claimed in reply.jobs] for reply in replies] == [ids[:2], ids[2:4]]


async def test_claim_promotes_what_is_due(node: NodeHands, place: Place) -> None:
    job_id = await node.enqueue(run_in_s=10)
    assert await node.claim() == []

    await place.pass_time(10)

    assert (await node.claim_one()).id == job_id


async def test_claim_leaves_what_is_not_due(node: NodeHands, place: Place) -> None:
    await node.enqueue(run_in_s=10)
    await place.pass_time(9.999)

    assert await node.claim() == []


async def test_a_due_job_stands_in_line_by_its_run_at(node: NodeHands, place: Place) -> None:
    due = await node.enqueue(run_in_s=5)
    await place.pass_time(4)
    older = await node.enqueue()
    await place.pass_time(2)
    newer = await node.enqueue()

    claims = await node.claim()

    assert [claimed.id for claimed in claims] == [older, due, newer]


async def test_promoted_jobs_keep_their_priority(node: NodeHands, place: Place) -> None:
    low = await node.enqueue(priority=3, run_in_s=1)
    high = await node.enqueue(priority=0, run_in_s=2)
    await place.pass_time(3)

    assert [claimed.id for claimed in await node.claim()] == [high, low]


async def test_a_small_claim_sees_the_urgent_one_among_many_due(store: Store, node: NodeHands, place: Place) -> None:
    await store.jobs.insert([node.new_job(priority=3, run_in_s=1) for _ in range(60)])
    urgent = await node.enqueue(priority=0, run_in_s=2)
    await place.pass_time(3)

    assert (await node.claim_one()).id == urgent


async def test_claim_tells_when_the_next_job_is_due(node: NodeHands, place: Place, clock: ManualClock) -> None:
    await node.enqueue(run_in_s=20)
    await node.enqueue(run_in_s=10)
    await node.enqueue(queue="other", run_in_s=1)

    assert await node.ask() == ClaimReply([], clock.wall_ms() + 10_000)

    await place.pass_time(10)
    assert (await node.ask()).next_run_at == clock.wall_ms() + 10_000


@pytest.mark.parametrize("put_back", ["retry", "snooze", "hand_back"])
async def test_claim_tells_when_a_job_put_back_is_due(node: NodeHands, clock: ManualClock, put_back: str) -> None:
    claimed = await node.start()
    await getattr(node, put_back)(claimed, run_in_s=7)

    assert (await node.ask()).next_run_at == clock.wall_ms() + 7_000


async def test_next_run_at_forgets_a_job_that_was_taken_away(node: NodeHands, clock: ManualClock) -> None:
    first, second, third = [await node.enqueue(run_in_s=seconds) for seconds in (1, 2, 3)]

    await node.cancel(first)
    await node.delete(second)

    assert (await node.ask()).next_run_at == clock.wall_ms() + 3_000
    await node.revive(third)
    assert (await node.ask()).next_run_at is None


async def test_claim_reaches_all_of_a_great_due_backlog(store: Store, node: NodeHands, place: Place) -> None:
    jobs = [node.new_job(run_in_s=1 + index / 1000) for index in range(350)]
    await store.jobs.insert(jobs)
    await place.pass_time(5)

    got = []
    while claims := await node.claim(70):
        got += [claimed.id for claimed in claims]

    assert got == [job.id for job in jobs]


async def test_a_large_claim_is_not_cut_by_the_bound_on_promotion(store: Store, node: NodeHands, place: Place) -> None:
    await store.jobs.insert([node.new_job(run_in_s=1) for _ in range(300)])
    await place.pass_time(2)

    assert len(await node.claim(300)) == 300


async def test_claim_skips_a_paused_queue(store: Store, node: NodeHands) -> None:
    await node.enqueue()
    await store.queues.pause(["default"])

    reply = await node.ask()

    assert (reply.jobs, reply.is_paused) == ([], True)


async def test_a_paused_queue_promotes_nothing(store: Store, node: NodeHands, place: Place) -> None:
    job_id = await node.enqueue(run_in_s=1)
    await store.queues.pause(["default"])
    await place.pass_time(2)

    await node.ask()

    assert await node.state(job_id) is JobState.SCHEDULED


async def test_claim_serves_the_queue_beside_a_paused_one(store: Store, node: NodeHands) -> None:
    await node.enqueue(queue="a")
    b = await node.enqueue(queue="b")
    await store.queues.pause(["a"])

    wishes = [ClaimRequest("a", 5), ClaimRequest("b", 5)]
    replies = await store.jobs.claim(wishes, boot_id=node.boot_id, lease_ms=LEASE_MS)

    assert [(len(reply.jobs), reply.is_paused) for reply in replies] == [(0, True), (1, False)]
    assert replies[1].jobs[0].id == b


async def test_claim_counts_token_and_attempt_up(node: NodeHands, place: Place) -> None:
    job_id = await node.enqueue()

    for number in range(1, 5):
        claimed = await node.claim_one()
        assert (claimed.id, claimed.attempt, claimed.claim_token) == (job_id, number, number)
        await node.retry(claimed, run_in_s=1)
        await place.pass_time(1)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.AVAILABLE])
async def test_claim_passes_over_what_is_not_available(node: NodeHands, state: JobState) -> None:
    await in_state(node, state)

    assert await node.claim() == []


async def test_jobs_of_one_queue_go_to_both_nodes_once(node: NodeHands, other_node: NodeHands) -> None:
    ids = await node.enqueue_many(10)

    got = [claimed.id for hands in (node, other_node, node, other_node) for claimed in await hands.claim(3)]

    assert got == ids
