"""Connections that are cut, replies that are lost, scripts that are forgotten, while a runtime works: nothing shows."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from callboard import Runtime, Settings
from callboard.kernel.clock import SystemClock
from callboard.storage.errors import Unavailable
from callboard.storage.records import JobFilter
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from tests.storage.redis.conftest import handle
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.node_hands import ALL, NodeHands
from tests.support.rhythm import every
from tests.support.runtime_life import SETTINGS, Life, live
from tests.support.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
CALLS = 5000  # at least
CALLERS = 30
LIVES_AT_ONCE = 24  # each mostly waits


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy((server.at.host, server.at.port)) as proxy:
        yield proxy


def url_through(proxy: FaultProxy, namespace: str = "app") -> str:
    assert isinstance(proxy.at, tuple)
    return f"redis://{proxy.at[0]}:{proxy.at[1]}/0?namespace={namespace}"


class Counting:
    """A runtime that counts how often each number's job began."""

    def __init__(self, url: str) -> None:
        self.runtime = Runtime(url, settings=Settings(lease="4s", grace="5s"), migrate=True)
        self.starts: Counter[int] = Counter()

        @self.runtime.job
        async def note(number: int) -> None:
            self.starts[number] += 1

        self.note = note

    async def enqueue_until(self, faults: Sequence[object], count: int) -> set[str]:
        """Ids of what was acknowledged: every number once, one call each, some callers side by side.

        At least `CALLS`, and on until there were `count` faults, however fast the machine is.
        """
        numbers = itertools.count()
        ids: set[str] = set()

        async def caller() -> None:
            while len(ids) < CALLS or len(faults) < count:
                ids.add((await self.note.enqueue(next(numbers))).id)

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(caller())
        return ids

    async def assert_each_ran_once(self, ids: set[str]) -> None:
        for job_id in ids:
            await self.runtime.handle(job_id).result(timeout=30)
        counts = await self.runtime.counts()
        assert (counts["completed"], sum(counts.values())) == (len(ids), len(ids))
        assert self.starts == Counter(range(len(ids)))


@pytest.mark.both_loops
async def test_connections_that_are_cut_again_and_again_lose_and_double_nothing(proxy: FaultProxy) -> None:
    """F22: the client's and the node's alike, ten times a second."""
    counting = Counting(url_through(proxy))

    async with counting.runtime:
        with every(0.1, proxy.cut) as cuts:
            async with counting.runtime.work({"default": 50}):
                ids = await counting.enqueue_until(cuts, 20)
        async with counting.runtime.work({"default": 50}):
            await counting.assert_each_ran_once(ids)

    assert sum(cuts) > 0  # connections that were open at the moment of a cut


async def test_any_reply_of_a_life_of_jobs_may_be_lost(server: RedisServer) -> None:
    """F23: reply n of the whole life, for n = 0, 1, ... until no life is that long; greetings of connections too."""
    expected = await life_without_reply(server, None)
    lost = 0

    while True:
        numbers = range(lost, lost + LIVES_AT_ONCE)
        lives = await asyncio.gather(*(life_without_reply(server, number) for number in numbers))
        for number, life in zip(numbers, lives, strict=True):
            assert life.but_for_crashes() == expected.but_for_crashes(), f"reply {number} was lost"
        lost += sum(life.lost for life in lives)
        if not all(life.lost for life in lives):
            break

    assert lost >= 40


@dataclass
class Disturbed(Life):
    lost: int = field(default=0, compare=False)


async def life_without_reply(server: RedisServer, number: int | None) -> Disturbed:
    namespace = "undisturbed" if number is None else f"life_{number}"
    quiet = handle(server, namespace=namespace)
    await quiet.open()
    with FaultProxy((server.at.host, server.at.port)) as proxy:
        runtime = Runtime(url_through(proxy, namespace), settings=SETTINGS, migrate=True)
        life = await live(runtime, quiet, lambda: None if number is None else proxy.drop_reply(number))
        await quiet.close()
        return Disturbed(life.jobs, life.starts, life.counts, life.paused, proxy.dropped)


async def test_scripts_that_are_forgotten_ten_times_a_second_show_nothing(server: RedisServer) -> None:
    """F34"""
    counting = Counting(f"{server.at.url}?namespace=app")
    with server.at.client() as client:
        async with counting.runtime:
            with every(0.1, client.script_flush) as flushed:
                async with counting.runtime.work({"default": 50}):
                    ids = await counting.enqueue_until(flushed, 10)
                    await counting.assert_each_ran_once(ids)
            assert counting.runtime.node.health.last_error is None


@pytest.mark.parametrize(("count", "cuts"), [(1000, 30), (5000, 10)])
async def test_a_batch_that_is_cut_at_any_byte_is_kept_whole_or_not_at_all(
    server: RedisServer, proxy: FaultProxy, count: int, cuts: int
) -> None:
    """F44: and a repetition completes what was not kept, and adds nothing to what was."""
    assert isinstance(proxy.at, tuple)
    sender = RedisStore(Address(*proxy.at, namespace="jobs"), clock=SystemClock())
    await sender.open()
    hands = NodeHands(sender, SystemClock(), boot_id=b"A" * 16)
    chance = random.Random(44)
    await hands.enqueue_many(count, queue="q-the-first")  # with the text of the script
    before = proxy.sent
    await hands.enqueue_many(count, queue="q000")
    size = proxy.sent - before
    kept: list[int] = []

    for number in range(cuts):
        queue = f"q{number + 1:03}"
        jobs = [hands.new_job(queue=queue) for _ in range(count)]
        proxy.cut_after(size if number == 0 else chance.randrange(1, size))
        with pytest.raises(Unavailable):
            await sender.jobs.insert(jobs)
        proxy.heal()
        if number == 0:  # the server has every byte, and reads them a few at a time beside other connections
            await eventually(partial(sender.jobs.count, JobFilter(queue=queue)))
        kept.append(await sender.jobs.count(JobFilter(queue=queue)))
        assert await sender.jobs.insert(jobs) == [not kept[-1]] * count

    assert kept == [count] + [0] * (cuts - 1)
    assert await sender.jobs.count(ALL) == count * (cuts + 2)
    await sender.close()
