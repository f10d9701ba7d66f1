"""Every store against the reference, by any sequence of verbs that hypothesis finds, compared whole after each step."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from callboard.kernel.clock import ManualClock
from callboard.storage.job import TERMINAL, Claimed, Job, JobState
from callboard.storage.records import ClaimReply
from tests.storage.model.reference import Reference
from tests.support.node_hands import OOPS, NodeHands
from tests.support.stores import PLACES, Place

T = TypeVar("T")

QUEUES = st.sampled_from(["a", "b"])
NODES = st.integers(0, 1)
# Odd halves of a second, so that no lease ends in the very moment to which time was passed.
LEASES_MS = st.sampled_from([1_500, 4_500, 30_500])
DELAYS_S = st.sampled_from([None, -1, 0, 2, 5])
ENDS = st.sampled_from(sorted(TERMINAL))


class StoreAgainstReference(RuleBasedStateMachine):
    """Two nodes on one store. `claims` holds every claim ever given, so most writes are a zombie's sooner or later."""

    kind: type[Place]
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.reference = Reference(self.clock.wall_ms())
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.run(self._open)

    def run(self, call: Callable[[], Awaitable[T]]) -> T:
        async def wait() -> T:
            return await call()

        return self.runner.run(wait())

    async def _open(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.place = await self.stack.enter_async_context(self.kind.made(Path(folder), self.clock))
        self.nodes = []
        for number in range(2):
            store = self.place.handle()
            await store.open()
            self.stack.push_async_callback(store.close)
            self.nodes.append(NodeHands(store, self.clock, boot_id=bytes([65 + number]) * 16, seed=number))
        self.store = self.nodes[0].store

    def teardown(self) -> None:
        try:
            self.run(self.stack.aclose)
        finally:
            self.runner.close()

    @rule(target=jobs, node=NODES, queue=QUEUES, priority=st.integers(0, 3), delay_s=DELAYS_S)
    def enqueue(self, node: int, queue: str, priority: int, delay_s: int | None) -> bytes:
        new = self.nodes[node].new_job(queue=queue, priority=priority, run_in_s=delay_s)
        assert self.run(lambda: self.nodes[node].store.jobs.insert([new])) == [self.reference.insert(new)]
        return new.id

    @rule(job_id=jobs, node=NODES)
    def enqueue_again(self, job_id: bytes, node: int) -> None:
        new = self.nodes[node].new_job(queue="b", priority=0)._replace(id=job_id)
        assert self.run(lambda: self.nodes[node].store.jobs.insert([new])) == [self.reference.insert(new)]

    @rule(target=claims, node=NODES, queue=QUEUES, limit=st.integers(1, 4), lease_ms=LEASES_MS)
    def claim(self, node: int, queue: str, limit: int, lease_ms: int) -> object:
        hands = self.nodes[node]

        reply: ClaimReply = self.run(lambda: hands.ask(limit, queue=queue, lease_ms=lease_ms))

        expected = self.reference.claim(queue, limit, hands.boot_id, lease_ms)
        assert [claimed.id for claimed in reply.jobs] == expected
        assert reply.is_paused is (queue in self.reference.paused)
        if not reply.is_paused:
            assert reply.next_run_at == self.reference.next_run_at(queue)
        for claimed in reply.jobs:
            assert claimed == as_claimed(self.reference.jobs[claimed.id])
        return multiple(*((node, claimed) for claimed in reply.jobs))

    @rule(claim=claims, state=ENDS, result=st.sampled_from([None, b"", b"1"]), reason=st.sampled_from([None, "why"]))
    def finish(self, claim: tuple[int, Claimed], state: JobState, result: bytes | None, reason: str | None) -> None:
        hands, claimed = self.nodes[claim[0]], claim[1]
        accepted = self.run(lambda: hands.finish(claimed, state, result=result, reason=reason))
        assert accepted is self.reference.finish(claimed, hands.boot_id, state, result, reason)

    @rule(claim=claims, delay_s=st.sampled_from([0, 2, 5]))
    def retry(self, claim: tuple[int, Claimed], delay_s: int) -> None:
        hands, claimed = self.nodes[claim[0]], claim[1]
        accepted = self.run(lambda: hands.retry(claimed, run_in_s=delay_s))
        run_at = self.reference.now + delay_s * 1000
        assert accepted is self.reference.retry(claimed, hands.boot_id, run_at, OOPS)

    @rule(claim=claims, delay_s=st.sampled_from([0, 2, 5]))
    def snooze(self, claim: tuple[int, Claimed], delay_s: int) -> None:
        hands, claimed = self.nodes[claim[0]], claim[1]
        accepted = self.run(lambda: hands.snooze(claimed, run_in_s=delay_s))
        assert accepted is self.reference.snooze(claimed, hands.boot_id, self.reference.now + delay_s * 1000)

    @rule(claim=claims, delay_s=DELAYS_S)
    def hand_back(self, claim: tuple[int, Claimed], delay_s: int | None) -> None:
        hands, claimed = self.nodes[claim[0]], claim[1]
        accepted = self.run(lambda: hands.hand_back(claimed, run_in_s=delay_s))
        run_at = None if delay_s is None else self.reference.now + delay_s * 1000
        assert accepted is self.reference.hand_back(claimed, hands.boot_id, run_at)

    @rule(claim=claims, verb=st.sampled_from(["finish", "retry", "snooze", "hand_back"]))
    def write_as_another_node(self, claim: tuple[int, Claimed], verb: str) -> None:
        """Refused, and the comparison that follows sees that nothing changed."""
        hands, claimed = self.nodes[1 - claim[0]], claim[1]
        assert self.run(lambda: getattr(hands, verb)(claimed)) is False

    @rule(
        node=NODES,
        some=st.lists(claims, max_size=4, unique=True),
        lease_ms=LEASES_MS,
        progress=st.none() | st.just(b"half"),
    )
    def heartbeat(self, node: int, some: list[tuple[int, Claimed]], lease_ms: int, progress: bytes | None) -> None:
        hands = self.nodes[node]
        claims = list({claimed.id: claimed for _, claimed in some}.values())

        reply = self.run(lambda: hands.beat(*claims, lease_ms=lease_ms, progress=progress))

        lost, cancel_requested, orphans = self.reference.heartbeat(claims, hands.boot_id, lease_ms, progress)
        assert (reply.lost, reply.cancel_requested) == (lost, cancel_requested)
        assert sorted(orphan.id for orphan in reply.orphans) == orphans
        for orphan in reply.orphans:
            job = self.reference.jobs[orphan.id]
            assert (orphan.claim_token, orphan.queue) == (job.claim_token, job.queue)

    @rule(node=NODES, max_crashes=st.sampled_from([1, 3]))
    def rescue(self, node: int, max_crashes: int) -> None:
        rescued = self.run(lambda: self.nodes[node].rescue(max_crashes=max_crashes))
        assert {one.id: one.state for one in rescued} == self.reference.rescue(max_crashes)

    @rule(job_id=jobs, node=NODES, reason=st.sampled_from(["not wanted", "too old"]))
    def cancel(self, job_id: bytes, node: int, reason: str) -> None:
        # A second request may keep the first reason or take the second: the port leaves it open.
        job = self.reference.jobs.get(job_id)
        reason = job.reason if job and job.cancel_requested and job.reason else reason
        assert self.run(lambda: self.nodes[node].cancel(job_id, reason=reason)) is self.reference.cancel(job_id, reason)

    @rule(job_id=jobs, node=NODES)
    def revive(self, job_id: bytes, node: int) -> None:
        assert self.run(lambda: self.nodes[node].revive(job_id)) is self.reference.revive(job_id)

    @rule(job_id=jobs, node=NODES)
    def delete(self, job_id: bytes, node: int) -> None:
        assert self.run(lambda: self.nodes[node].delete(job_id)) is self.reference.delete(job_id)

    @rule(age_s=st.sampled_from([0, 2, 10]))
    def prune(self, age_s: int) -> None:
        bound = self.reference.now - age_s * 1000
        removed = self.run(lambda: self.store.jobs.prune(finished_before=bound, limit=1000))
        assert removed == self.reference.prune(bound)

    @rule(queue=QUEUES)
    def pause(self, queue: str) -> None:
        self.run(lambda: self.store.queues.pause([queue]))
        self.reference.queues.add(queue)
        self.reference.paused.add(queue)

    @rule(queue=QUEUES)
    def resume(self, queue: str) -> None:
        self.run(lambda: self.store.queues.resume([queue]))
        self.reference.paused.discard(queue)

    @rule(seconds=st.sampled_from([1, 2, 5, 31]))
    def pass_time(self, seconds: int) -> None:
        self.run(lambda: self.place.pass_time(seconds))
        self.reference.pass_time(seconds)

    @invariant()
    def everything_agrees(self) -> None:
        observed = self.run(lambda: self.nodes[1].observe())
        expected = sorted(self.reference.jobs.values(), key=lambda job: job.id, reverse=True)
        assert [comparable(job) for job in observed.jobs] == [comparable(job) for job in expected]
        failures = {
            job_id: [(one.claim_token, one.attempt, one.error.kind) for one in kept]
            for job_id, kept in observed.failures.items()
        }
        assert failures == self.reference.failures
        assert list(observed.queues) == self.reference.rows()


def comparable(job: Job) -> Job:
    """Without what is the store's own: where its lease clock stands, and vtime while no order depends on it."""
    is_in_line = job.state in (JobState.AVAILABLE, JobState.EXECUTING)
    return replace(job, lease_until=None if job.lease_until is None else 0, vtime=job.vtime if is_in_line else 0)


def as_claimed(job: Job) -> Claimed:
    return Claimed(
        job.id,
        job.name,
        job.queue,
        job.payload,
        job.priority,
        job.attempt,
        job.claim_token,
        job.crashes,
        job.inserted_at,
        job.timeout_ms,
    )


FEW = settings(max_examples=40, stateful_step_count=30)  # a store beyond this process: each step costs round trips
MANY = settings(max_examples=300, stateful_step_count=50)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLACES)
def test_the_store_does_what_the_reference_does(name: str) -> None:
    kind = PLACES[name]
    if (why := kind.missing()) is not None:
        pytest.skip(why)

    class Machine(StoreAgainstReference):
        pass

    Machine.kind = kind
    chosen = MANY if name == "memory" else FEW
    run_state_machine_as_test(
        Machine, settings=settings(chosen, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    )
