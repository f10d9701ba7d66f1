"""Several at once: tasks of one handle, and handles in threads of their own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from callboard.kernel.clock import ManualClock
from callboard.storage.job import Claimed, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import CancelAnswer, Finish
from tests.support.at_once import in_threads
from tests.support.node_hands import ALL, NodeHands
from tests.support.stores import Place

SWEEPERS = 3
SWEPT = 101  # jobs at most, in one sweep


async def drain(hands: NodeHands) -> list[Claimed]:
    got: list[Claimed] = []
    while claims := await hands.claim(7):
        got += claims
    return got


async def test_claims_of_many_tasks_give_each_job_once(node: NodeHands) -> None:
    ids = await node.enqueue_many(200)

    batches = await asyncio.gather(*(node.claim(7) for _ in range(40)))

    assert sorted(claimed.id for batch in batches for claimed in batch) == ids


async def test_claims_of_two_nodes_in_threads_give_each_job_once(node: NodeHands, place: Place) -> None:
    ids = await node.enqueue_many(400)

    first, second = await in_threads(place, drain, drain)

    assert sorted(claimed.id for claimed in first + second) == ids
    assert {claimed.claim_token for claimed in first + second} == {1}


async def test_inserts_of_the_same_jobs_in_threads_make_each_once(node: NodeHands, place: Place) -> None:
    jobs = [node.new_job() for _ in range(300)]

    async def insert(hands: NodeHands) -> list[bool]:
        answers: list[bool] = []
        for start in range(0, len(jobs), 10):
            answers += await hands.store.jobs.insert(jobs[start : start + 10])
        return answers

    first, second = await in_threads(place, insert, insert)

    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * len(jobs)
    assert len(await node.claim(1000)) == len(jobs)


async def test_f56_sweepers_at_once_put_each_of_10000_expired_jobs_back_once(
    store: Store, node: NodeHands, place: Place
) -> None:
    """No lock keeps sweepers apart: each round begins for all of them at the same moment, with the same jobs ahead."""
    ids = [job_id for _ in range(10) for job_id in await node.enqueue_many(1_000)]
    for _ in range(10):
        await node.claim(1_000, lease_ms=1_000)
    await place.pass_time(2)
    begin, end = threading.Barrier(SWEEPERS), threading.Barrier(SWEEPERS)
    rounds: list[int] = []  # how many jobs each sweep took

    async def sweep(hands: NodeHands) -> list[bytes]:
        taken: list[bytes] = []
        while True:
            begin.wait(timeout=30)
            rescued = await hands.rescue(limit=SWEPT)
            taken += [one.id for one in rescued]
            rounds.append(len(rescued))
            end.wait(timeout=30)
            if not any(rounds[-SWEEPERS:]):
                return taken

    taken = await in_threads(place, *[sweep] * SWEEPERS)

    assert sorted(chain(*taken)) == ids
    jobs = await store.jobs.select(ALL, limit=len(ids) + 1)
    assert len(jobs) == len(ids)
    assert {(job.state, job.crashes, job.attempt, job.claim_token) for job in jobs} == {(JobState.AVAILABLE, 1, 0, 1)}


async def test_finish_and_rescue_at_once_have_one_winner_each(node: NodeHands, place: Place) -> None:
    await node.enqueue_many(200)
    claims = await node.claim(200, lease_ms=1_000)
    await place.pass_time(2)

    async def finish(hands: NodeHands) -> dict[bytes, bool]:
        accepted: dict[bytes, bool] = {}
        for claimed in claims:
            end = Finish(claimed.id, claimed.claim_token, claimed.queue, JobState.COMPLETED, 1)
            [accepted[claimed.id]] = await hands.store.jobs.finish([end], boot_id=node.boot_id)
        return accepted

    async def rescue(hands: NodeHands) -> dict[bytes, bool]:
        rescued: dict[bytes, bool] = {}
        while taken := await hands.rescue(limit=3):
            rescued |= {one.id: True for one in taken}
        return rescued

    finished, rescued = await in_threads(place, finish, rescue)

    for claimed in claims:
        job = await node.job(claimed.id)
        assert finished[claimed.id] is not rescued.get(claimed.id, False)
        assert (job.state, job.crashes) == (
            (JobState.COMPLETED, 0) if finished[claimed.id] else (JobState.AVAILABLE, 1)
        )


async def test_cancel_and_claim_at_once_agree_on_what_runs(node: NodeHands, place: Place) -> None:
    ids = await node.enqueue_many(200)

    async def cancel(hands: NodeHands) -> dict[bytes, bool]:
        return {job_id: await hands.cancel(job_id) is CancelAnswer.CANCELLED for job_id in reversed(ids)}

    async def claim(hands: NodeHands) -> dict[bytes, bool]:
        return {claimed.id: True for claimed in await drain(hands)}

    cancelled, claimed = await in_threads(place, cancel, claim)

    for job_id in ids:
        job = await node.job(job_id)
        assert cancelled[job_id] is not claimed.get(job_id, False)
        assert job.state is (JobState.CANCELLED if cancelled[job_id] else JobState.EXECUTING)
        assert job.cancel_requested is not cancelled[job_id]


async def test_heartbeats_from_a_thread_go_beside_claims_and_finishes(
    store: Store, node: NodeHands, clock: ManualClock
) -> None:
    await node.enqueue_many(300)
    held = await node.claim(20)
    is_over = threading.Event()

    def beat_until_over() -> int:
        async def beat() -> int:
            hands, beats = NodeHands(store, clock, boot_id=node.boot_id), 0
            while not is_over.is_set() or beats == 0:
                assert (await hands.beat(*held)).lost == []
                beats += 1
            return beats

        return asyncio.run(beat())

    with ThreadPoolExecutor(1) as threads:
        beating = asyncio.get_running_loop().run_in_executor(threads, beat_until_over)
        for _ in range(40):
            for claimed in await node.claim(7):
                assert await node.finish(claimed)
        is_over.set()
        assert await beating > 0

    assert (await store.queues.counts())[JobState.COMPLETED] == 280
