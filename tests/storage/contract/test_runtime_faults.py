"""The life of a whole runtime with one call to the store failing in turn: nothing is lost, done twice or stuck.

`test_faults.py` speaks to the ports as a node would; here the node itself does, with its heartbeat, its rescuer and its
drain. Of each method the n-th call is executed and its answer lost, for n = 1, 2, ... until the fault no longer fires.
Of a method that only reads, which has nothing to execute, the first two are enough.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from callboard import JobState, Runtime
from callboard.actors import janitor
from callboard.kernel.clock import ManualClock, SystemClock
from callboard.runtime.environment import Environment
from callboard.storage.ids import parse_id
from callboard.storage.messages import ReviveJobs
from tests.support.eventually import eventually
from tests.support.faulty_store import FaultyStore, NthCallOf, When
from tests.support.runtime_life import NAMES, SETTINGS, Life, live
from tests.support.stores import Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
AT_ONCE = {"PostgresPlace": 8}  # lives side by side, most of which are waiting; here each has eight connections
HINTS = "wakeups.announce"  # may be lost without an error at any time, so losing the answer says nothing
WRITES = {
    *(f"jobs.{verb}" for verb in ("insert", "claim", "finish", "retry", "snooze", "hand_back", "rescue")),
    *(f"jobs.{verb}" for verb in ("cancel", "revive", "delete", "prune")),
    *("heartbeat", "nodes.register", "nodes.forget", "queues.pause", "queues.resume"),
    *("roles.campaign", "roles.resign"),
}


async def life_of(kind: type[Place], folder: Path, plan: NthCallOf) -> Life:
    """A life on an empty store of its own."""
    clock = SystemClock()
    async with kind.made(folder, clock) as place:
        quiet = place.handle()
        await quiet.open()
        store = FaultyStore(place.handle(), plan)
        environment = Environment(clock, random.Random(1), os.urandom, store_of=lambda url: store)
        try:
            return await live(Runtime("memory://", settings=SETTINGS, environment=environment), quiet, plan.arm)
        finally:
            await quiet.close()


async def test_any_call_of_a_runtimes_life_may_be_executed_and_its_answer_lost(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F23 on every store, with the whole runtime."""
    monkeypatch.setattr(janitor, "EVERY_S", 0.3)
    kind = type(place)

    def folder(name: str) -> Path:
        made = tmp_path / name
        made.mkdir()
        return made

    undisturbed = NthCallOf("", 0, When.AFTER)
    expected = await life_of(kind, folder("undisturbed"), undisturbed)
    assert_is_whole(expected)
    assert set(undisturbed.seen) >= WRITES
    room = asyncio.Semaphore(AT_ONCE.get(kind.__name__, 16))

    async def fails(method: str, n: int) -> bool:
        plan = NthCallOf(method, n, When.AFTER)
        async with room:
            life = await life_of(kind, folder(f"{method} {n}"), plan)
        if method == "jobs.claim":
            assert life.but_for_crashes() == expected.but_for_crashes(), f"{plan}: {life}"
            return plan.has_failed
        changed = {name: job for name, job in life.jobs.items() if job != expected.jobs.get(name)}
        assert life == expected, f"{plan}: {changed or life}"
        return plan.has_failed

    async def fails_in_turn(method: str) -> int:
        at_once = undisturbed.seen[method]
        if method not in WRITES:
            return sum([await fails(method, n) for n in range(1, min(at_once, 2) + 1)])
        known = await asyncio.gather(*(fails(method, n) for n in range(1, at_once + 1)))
        n = at_once + 1
        while all(known) and await fails(method, n):
            n += 1
        return sum(known) + n - at_once - 1

    methods = sorted(set(undisturbed.seen) - {HINTS})
    fired = dict(zip(methods, await asyncio.gather(*map(fails_in_turn, methods)), strict=True))

    assert all(fired[method] >= 1 for method in WRITES)


async def test_a_revival_whose_answer_was_lost_is_not_done_twice(place: Place, tmp_path: Path) -> None:
    """F23 between nodes: the job has run again, on another node, before the call is repeated."""
    plan = NthCallOf("jobs.revive", 1, When.AFTER)
    time = ManualClock()  # the client's own: it repeats when the test says so
    async with type(place).made(tmp_path, SystemClock()) as shared:
        environment = Environment(SystemClock(), random.Random(1), os.urandom, store_of=lambda url: shared.handle())
        worker = Runtime("memory://", settings=SETTINGS, environment=environment, migrate=True)
        faulty = FaultyStore(shared.handle(), plan)
        environment = Environment(time, random.Random(2), os.urandom, store_of=lambda url: faulty)
        client = Runtime("memory://", settings=SETTINGS, environment=environment)

        @worker.job(name="noop")
        async def noop() -> None: ...

        async with worker, client, worker.work({"default": 1}):
            handle = await noop.enqueue()
            await handle.result(timeout=20)
            job_id = parse_id(handle.id)
            plan.arm()
            reviving = asyncio.ensure_future(client.node.storage.ask(ReviveJobs([job_id]), timeout=None))
            await eventually(lambda: plan.has_failed)
            await eventually(lambda: ran_again(worker, job_id))
            time.advance(1.0)

            assert await reviving == [True]
            assert await ran_again(worker, job_id)


async def ran_again(runtime: Runtime, job_id: bytes) -> bool:
    row = await runtime.stored_job(job_id)
    assert row is not None
    return (row.state, row.claim_token) == (JobState.COMPLETED, 2)


def assert_is_whole(life: Life) -> None:
    """A life without faults ends as its handlers say."""
    states = {name: (state, attempt, crashes) for name, (state, attempt, crashes, *_) in life.jobs.items()}
    done, cancelled = JobState.COMPLETED, JobState.CANCELLED
    once = dict.fromkeys(("steady", "sleepy", "drained", "revived", "late"), (done, 1, 0))
    assert states == once | {
        "flaky": (done, 2, 0),
        "orphan": (done, 1, 1),
        "endless": (cancelled, 1, 0),
        "unwanted": (cancelled, 0, 0),
    }
    twice = ("flaky", "sleepy", "drained", "revived")
    assert life.starts == Counter({name: 2 if name in twice else 1 for name in NAMES if name != "unwanted"})
    assert life.paused == []
