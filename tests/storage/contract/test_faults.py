"""A whole life of jobs with replies lost: nothing is lost, done twice or stuck, whichever call failed.

The caller does what a node does: it repeats a call that ended with `Unavailable`. A claim it cannot repeat; there it
asks the heartbeat for leases it does not know, hands them back, and claims again. What comes out must not differ from a
life without faults by anything but claim tokens.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.control import Control, ControlAnswer
from callboard.storage.errors import TermOver, Unavailable
from callboard.storage.job import Claimed, JobState, Verb
from callboard.storage.ports.store import Store
from callboard.storage.records import HandBack, Node
from callboard.storage.role import Term
from tests.support.faulty_store import FaultPlan, FaultyStore, NthCall, SomeCalls, When
from tests.support.node_hands import OOPS, NodeHands, assert_counters_are_true
from tests.support.persistence import until_answered
from tests.support.stores import Place

T = TypeVar("T")
LETTERS = ((b"O", 1), (b"N", 2))  # of control messages, and when they were asked
Make = Callable[[int], Awaitable[Place]]


@dataclass(slots=True)
class Life:
    """What a life left behind: each job by its name, tokens and ids left out."""

    jobs: dict[str, tuple[object, ...]] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)  # how often a handler would have run
    counts: dict[JobState, int] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)
    nodes: int = 0
    terms: list[Term] = field(default_factory=list)
    controls: list[object] = field(default_factory=list)


class Patient:
    """A node that never gives up."""

    def __init__(self, hands: NodeHands) -> None:
        self.hands = hands
        self.held: dict[bytes, Claimed] = {}
        self.starts: Counter[str] = Counter()

    async def claim(self, limit: int = 100, *, lease_ms: int = 30_000) -> list[Claimed]:
        while True:
            try:
                claims = await self.hands.claim(limit, lease_ms=lease_ms)
            except Unavailable:
                await self._hand_back_orphans()
            else:
                self.held |= {claimed.id: claimed for claimed in claims}
                self.starts.update(claimed.name for claimed in claims)
                return claims

    async def _hand_back_orphans(self) -> None:
        reply = await until_answered(lambda: self.hands.beat(*self.held.values()))
        backs = [HandBack(orphan.id, orphan.claim_token, orphan.queue) for orphan in reply.orphans]
        jobs, boot_id = self.hands.store.jobs, self.hands.boot_id
        assert all(await until_answered(lambda: jobs.hand_back(backs, boot_id=boot_id)))

    async def end(self, claimed: Claimed, call: Callable[[], Awaitable[bool]]) -> None:
        """One of the fenced writes, which must be accepted however often it is made."""
        assert await until_answered(call)
        del self.held[claimed.id]

    async def run_all(self) -> None:
        """Claim and complete until nothing is available."""
        while claims := await self.claim(2):
            for claimed in claims:
                await self.end(claimed, partial(self.hands.finish, claimed, result=b"ok"))


async def live(place: Place, plan: FaultPlan) -> Life:
    """Ten jobs through every verb there is, a role through three terms, a request to the node: what became of them."""
    store = place.handle()
    await store.open()
    faulty = FaultyStore(store, plan)
    hands = NodeHands(faulty, place.clock, boot_id=b"A" * 16, seed=1)
    node = Patient(hands)
    jobs = faulty.jobs
    new = {f"job.{letter}": hands.new_job(name=f"job.{letter}") for letter in "abcdefghij"}
    ids = {name: job.id for name, job in new.items()}

    await until_answered(lambda: faulty.nodes.register(Node(hands.boot_id, "host", 1, "1", 0)))
    await until_answered(lambda: jobs.insert(list(new.values())))
    await until_answered(lambda: hands.cancel(ids["job.j"]))  # waiting

    by_name = {claimed.name: claimed for claimed in await node.claim(8)}
    ends: dict[str, Callable[[Claimed], Awaitable[bool]]] = {
        "job.a": lambda claimed: hands.finish(claimed, result=b"1"),
        "job.b": lambda claimed: hands.finish(claimed, JobState.FAILED, reason="attempts", error=OOPS),
        "job.c": lambda claimed: hands.retry(claimed, run_in_s=5),
        "job.d": lambda claimed: hands.snooze(claimed, run_in_s=5),
        "job.e": lambda claimed: hands.hand_back(claimed),
        "job.f": lambda claimed: hands.hand_back(claimed, run_in_s=5),
    }
    for name, end in ends.items():
        claimed = by_name[name]
        await node.end(claimed, partial(end, claimed))
    await until_answered(lambda: hands.cancel(ids["job.g"]))  # executing, and learnt by a heartbeat
    reply = await until_answered(lambda: hands.beat(*node.held.values(), progress=b"half"))
    assert (reply.lost, reply.cancel_requested) == ([], [ids["job.g"]])
    stopped = by_name["job.g"]
    await node.end(stopped, lambda: hands.finish(stopped, JobState.CANCELLED))

    await until_answered(lambda: faulty.queues.pause(["default"]))
    assert await node.claim() == []
    await place.pass_time(40)  # job.h is held by nobody any more; the others that wait are due
    node.held.clear()
    await until_answered(lambda: hands.rescue())
    await until_answered(lambda: faulty.queues.resume(["default"]))
    await node.run_all()
    await until_answered(lambda: jobs.revive([ids["job.b"]]))
    await node.run_all()
    await place.pass_time(60)
    await until_answered(lambda: jobs.delete([ids["job.a"]]))
    await until_answered(lambda: jobs.prune(finished_before=place.clock.wall_ms() - 90_000, limit=10))

    await live_by_roles(faulty, hands, place, life := Life(starts=node.starts))
    await live_by_controls(faulty, hands, life)
    for name, job_id in ids.items():
        [job] = await store.jobs.get([job_id])
        if job is not None:
            errors = [(failure.attempt, failure.error.kind) for failure in await store.jobs.failures(job_id)]
            life.jobs[name] = (job.state, job.attempt, job.crashes, job.result, job.reason, job.progress, errors)
    life.counts = dict(await store.queues.counts())
    life.paused = [row.name for row in await store.queues.list() if row.is_paused]
    life.nodes = len(await store.nodes.list())
    await assert_counters_are_true(store)
    await store.close()
    return life


async def live_by_roles(store: Store, hands: NodeHands, place: Place, life: Life) -> None:
    """Three terms of one role: the first is resigned, the second runs out, the third goes on."""
    roles, jobs = store.roles, store.jobs

    async def campaign() -> Term:
        [row] = await until_answered(lambda: roles.campaign(["janitor"], holder=hands.boot_id, lease_ms=30_000))
        assert row.term is not None
        life.terms.append(row.term)
        return row.term

    first = await campaign()
    assert await until_answered(lambda: roles.renew([first], lease_ms=30_000)) == [True]
    job = hands.new_job(name="job.k", run_in_s=3600)
    await until_answered(lambda: jobs.insert([job], fence=first))
    assert [found and found.id for found in await until_answered(lambda: jobs.get([job.id]))] == [job.id]
    await until_answered(lambda: store.nodes.forget([b"?" * 16], fence=first))
    await until_answered(lambda: roles.resign([first]))
    with pytest.raises(TermOver):
        await until_answered(lambda: jobs.prune(finished_before=1 << 50, limit=10, fence=first))
    second = await campaign()
    await place.pass_time(30)
    assert await until_answered(lambda: roles.renew([second], lease_ms=30_000)) == [False]
    third = await campaign()
    await until_answered(lambda: jobs.prune(finished_before=0, limit=10, fence=third))
    assert [row.term for row in await until_answered(lambda: roles.list())] == [third]


async def live_by_controls(store: Store, hands: NodeHands, life: Life) -> None:
    """One request that is answered, and one that is not."""
    controls = store.controls
    old, new = (Control(letter * 16, hands.boot_id, "ping", letter, asked_at) for letter, asked_at in LETTERS)
    await until_answered(lambda: controls.send([old]))
    await until_answered(lambda: controls.send([new]))
    life.controls += await until_answered(lambda: controls.take(hands.boot_id, limit=10))
    await until_answered(lambda: controls.answer([ControlAnswer(new.id, b"pong")]))
    life.controls += await until_answered(lambda: controls.take(hands.boot_id, limit=10))
    await until_answered(lambda: controls.prune(asked_before=2))
    life.controls += await until_answered(lambda: controls.take(hands.boot_id, limit=10))
    life.controls += await until_answered(lambda: controls.answers([old.id, new.id]))


@pytest.fixture
async def fresh_place(place: Place, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes empty stores of the same kind, one for each life."""
    async with AsyncExitStack() as places:

        async def make(number: int) -> Place:
            path = tmp_path / str(number)
            path.mkdir()
            return await places.enter_async_context(type(place).made(path, ManualClock()))

        yield make


async def test_a_life_without_faults_is_what_it_should_be(place: Place) -> None:
    life = await live(place, NthCall(0, When.BEFORE))

    done = JobState.COMPLETED
    assert life.jobs == {
        "job.b": (done, 1, 0, b"ok", None, None, [(1, OOPS.kind)]),
        "job.c": (done, 2, 0, b"ok", None, None, [(1, OOPS.kind)]),
        **{f"job.{letter}": (done, 1, 0, b"ok", None, None, []) for letter in "defi"},
        "job.h": (done, 1, 1, b"ok", None, b"half", [(1, "lease lost")]),
    }
    once, twice = ({f"job.{letter}": times for letter in letters} for times, letters in ((1, "agi"), (2, "bcdefh")))
    assert life.starts == Counter(once | twice)
    assert (life.paused, life.nodes) == ([], 1)
    assert life.terms == [Term("janitor", b"A" * 16, number) for number in (1, 2, 3)]
    old, new = (Control(letter * 16, b"A" * 16, "ping", letter, asked_at) for letter, asked_at in LETTERS)
    assert life.controls == [old, new, old, None, ControlAnswer(new.id, b"pong")]


@pytest.mark.parametrize("when", list(When), ids=lambda when: when.value)
async def test_any_one_call_may_fail(place: Place, fresh_place: Make, when: When) -> None:
    expected = await live(place, NthCall(0, when))
    failed = []

    for n in range(1, 1000):
        plan = NthCall(n, when)
        life = await live(await fresh_place(n), plan)
        if plan.failed is None:
            break
        failed.append(plan.failed)
        assert life == expected, f"call {n}, {plan.failed}, failed {when.value} it took effect"

    verbs = {*Verb, "insert", "prune"} - {Verb.PROMOTE}
    switches = ["queues.pause", "queues.resume", "nodes.register", "nodes.forget", "heartbeat"]
    roles = [f"roles.{verb}" for verb in ("campaign", "renew", "resign", "list")]
    controls = [f"controls.{verb}" for verb in ("send", "take", "answer", "answers", "prune")]
    assert {*(f"jobs.{verb}" for verb in verbs), *switches, *roles, *controls} <= set(failed)


@pytest.mark.parametrize("seed", range(3))
async def test_a_third_of_all_calls_may_fail(place: Place, fresh_place: Make, seed: int) -> None:
    expected = await live(place, NthCall(0, When.BEFORE))
    plan = SomeCalls(random.Random(seed), 0.33)

    life = await live(await fresh_place(0), plan)

    assert plan.failed > 5
    assert life == expected
