"""What a process knows of its store's wall clock: the reckoning by itself, then on real servers with a wrong clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard import Ctx, Registry, Retry, Runtime
from callboard.kernel.clock import Clock, ManualClock, SystemClock
from callboard.runtime.environment import Environment
from callboard.storage.errors import Unavailable
from callboard.storage.job import JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from callboard.storage.redis.address import Address
from callboard.storage.store_clock import FRESH_S, PARTING, Reading, StoreClock, StoreTime, better, read
from callboard.storage.urls import store_of
from tests.support.eventually import eventually
from tests.support.node_hands import OOPS, NodeHands
from tests.support.servers import postgres
from tests.support.stores import PLACES, Place, PostgresPlace, RedisPlace

WRONG_S = 300.0
# No call takes that long: a store gives it up before. So readings are off by less, on however slow a machine.
NEAR_MS = 60_000


class WrongClock(SystemClock):
    """This machine's clock, with a wall time that somebody has set wrong."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def wall_ms(self) -> int:
        return super().wall_ms() + int(self.ahead_s * 1000)


class TestReadings:
    def test_the_store_is_taken_to_have_answered_half_way(self) -> None:
        assert read(10_000.0, asked=100.0, answered=104.0) == Reading(9_898.0, 2.0, 104.0)

    def test_the_less_uncertain_one_stands(self) -> None:
        rough, exact = Reading(9_000.0, 5.0, 0.0), Reading(9_003.0, 1.0, 1.0)

        assert better(None, rough) == rough
        assert better(rough, exact) == exact
        assert better(exact, Reading(9_001.0, 5.0, 2.0)) == exact

    def test_one_grows_less_certain_with_its_age(self) -> None:
        exact = Reading(9_000.0, 1.0, 0.0)
        rough = Reading(9_001.0, 5.0, 4.0 / PARTING)

        assert better(exact, rough._replace(at=rough.at - 1.0)) == exact
        assert better(exact, rough) == rough

    def test_one_that_contradicts_it_takes_over_at_once(self) -> None:
        """A clock was set, or another server answers."""
        exact, rough = Reading(9_000.0, 1.0, 0.0), Reading(9_006.5, 5.0, 1.0)

        assert better(exact, rough) == rough
        assert better(exact, rough._replace(ahead=9_005.5)) == exact

    @given(
        st.lists(st.tuples(st.floats(0, 60_000), st.floats(0, 500), st.floats(0, 1)), min_size=1, max_size=30),
        st.floats(-PARTING, PARTING),
        st.floats(-1e9, 1e9),
    )
    def test_what_is_known_is_never_further_off_than_its_doubt_with_its_age(
        self, replies: list[tuple[float, float, float]], parting: float, ahead: float
    ) -> None:
        """Whatever replies take and wherever on their way the store reads its clock, if no two clocks part faster."""
        now, known = 0.0, None
        for pause, took, where in replies:
            asked = now + pause
            now = asked + took
            told = asked + took * where
            known = better(known, read(told * (1 + parting) + ahead, asked, now))
            truth = now * (1 + parting) + ahead

            doubt = known.doubt * (1 + 2 * PARTING) + (now - known.at) * PARTING
            assert abs(known.ahead + now - truth) <= doubt + 1e-3  # and what floats leave out


class TestStoreTime:
    def test_it_is_the_processs_own_before_the_first_reading(self) -> None:
        own = ManualClock()
        time = StoreTime(own)

        own.jump_wall(60.0)

        assert time.wall_ms() == own.wall_ms()
        assert time.is_due

    def test_no_jump_of_the_processs_own_wall_clock_moves_it_afterwards(self) -> None:
        own = ManualClock()
        time = StoreTime(own)
        time.told(5_000_000.0, time.asks())

        for jump_s in (3600.0, -7200.0):
            own.jump_wall(jump_s)
            own.advance(1.0)

        assert time.wall_ms() == 5_002_000

    def test_a_reading_is_due_when_the_last_is_old_or_another_server_may_answer(self) -> None:
        own = ManualClock()
        time = StoreTime(own)
        time.told(5_000_000.0, time.asks())

        assert not time.is_due
        own.advance(FRESH_S + 0.1)
        assert time.is_due
        time.asks()
        assert not time.is_due
        time.doubt()
        assert time.is_due

    def test_only_the_wall_time_of_a_clock_is_the_stores(self) -> None:
        own = ManualClock()
        clock = StoreClock(own, lambda: 77)
        fired: list[float] = []
        clock.call_later(2.0, lambda: fired.append(clock.monotonic()))

        own.advance(3.0)

        assert fired == [own.monotonic() - 1.0]
        assert (clock.wall_ms(), clock.wall_reader()(), clock.now().timestamp()) == (77, 77, 0.077)
        assert clock.monotonic_reader()() == clock.steady_reader()() == own.monotonic()


@pytest.fixture(params=["postgres", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    kind = PLACES[request.param]
    if (why := kind.missing()) is not None:
        pytest.skip(why)
    async with kind.made(tmp_path, SystemClock()) as place:
        first = place.handle()
        await first.open()
        await first.close()
        yield place


def url_of(place: Place) -> str:
    if isinstance(place, RedisPlace):
        return Address(place.server.host, place.server.port, namespace=place.namespace).url
    assert isinstance(place, PostgresPlace)
    return place.url


async def server_ms(place: Place) -> float:
    """The server's wall clock, asked by a client of its own."""
    if isinstance(place, RedisPlace):
        with place.server.client() as client:
            seconds, micros = client.time()
        return float(seconds * 1000 + micros / 1000)
    connection = await asyncpg.connect(postgres.url())
    try:
        return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    finally:
        await connection.close()


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Clock:
    return WrongClock(request.param) if hasattr(request, "param") else ManualClock()


@pytest.fixture
async def store(place: Place, own: Clock) -> AsyncIterator[Store]:
    """As a process opens it that has that clock."""
    store = store_of(url_of(place), clock=own, disk_reserve_bytes=0)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def node(store: Store, own: Clock) -> NodeHands:
    return NodeHands(store, StoreClock(own, store.wall_ms), boot_id=b"A" * 16)


wrong = pytest.mark.parametrize("own", [WRONG_S, -WRONG_S], indirect=True, ids=["ahead", "behind"])


class TestOnServers:
    """F46: a process whose wall clock is five minutes wrong writes and reads the server's moments."""

    @wrong
    async def test_it_knows_the_servers_time_once_it_is_open(self, place: Place, store: Store, own: WrongClock) -> None:
        for ahead_s in (own.ahead_s, own.ahead_s + 3600.0, own.ahead_s - 3600.0):
            own.ahead_s = ahead_s  # F45: and it jumps while the store is open
            began = await server_ms(place)
            known = store.wall_ms()
            assert began - NEAR_MS < known < await server_ms(place) + NEAR_MS

    @wrong
    async def test_what_it_writes_lies_at_the_servers_time(self, place: Place, node: NodeHands) -> None:
        began = await server_ms(place)
        await node.store.nodes.register(Node(node.boot_id, "host", 1, "0", node.clock.wall_ms()))
        job_id = await node.enqueue()
        claimed = await node.claim_one()
        await node.retry(claimed, run_in_s=0.0, error=OOPS)
        again = await node.claim_one()
        await node.beat(again)
        await node.finish(again)
        job = await node.job(job_id)
        [failure] = await node.failures(job_id)
        [row] = await node.store.nodes.list()
        ended = await server_ms(place)

        assert job.state is JobState.COMPLETED
        moments = (job.inserted_at, job.run_at, job.started_at, job.finished_at, failure.failed_at, row.seen_at)
        for moment in (*moments, row.started_at):
            assert moment is not None
            assert began - NEAR_MS < moment < ended + NEAR_MS

    @wrong
    async def test_a_job_is_claimed_when_it_is_due_by_the_servers_time_and_not_before(
        self, place: Place, node: NodeHands
    ) -> None:
        later = await node.enqueue(run_in_s=WRONG_S / 2)

        reply = await node.ask()

        assert (reply.jobs, await node.state(later)) == ([], JobState.SCHEDULED)
        assert reply.next_run_at is not None
        waits_ms = reply.next_run_at - node.clock.wall_ms()  # as a dispatcher reckons
        assert WRONG_S * 500 - NEAR_MS < waits_ms < WRONG_S * 500 + NEAR_MS
        assert abs(reply.next_run_at - await server_ms(place) - WRONG_S * 500) < NEAR_MS

        soon = await node.enqueue(run_in_s=0.3)
        [claimed] = await eventually(node.claim, within_s=NEAR_MS / 1000)
        job = await node.job(soon)

        assert claimed.id == soon
        assert job.started_at is not None
        assert job.run_at <= job.started_at

    @wrong
    async def test_a_moment_that_somebody_names_is_the_servers(self, place: Place, node: NodeHands) -> None:
        now_ms = int(await server_ms(place))
        past, ahead = (node.new_job()._replace(run_at=now_ms + by_ms) for by_ms in (-2 * NEAR_MS, 2 * NEAR_MS))

        await node.insert(past, ahead)

        assert [claimed.id for claimed in await node.claim()] == [past.id]
        assert await node.state(ahead.id) is JobState.SCHEDULED

    async def test_a_process_without_a_heartbeat_asks_again_with_its_next_call(
        self, place: Place, own: ManualClock, node: NodeHands
    ) -> None:
        """Here its own clock runs an hour ahead meanwhile, which no real one does."""
        own.advance(3600.0)
        assert node.clock.wall_ms() > await server_ms(place) + 3_600_000 - NEAR_MS

        await node.enqueue()

        assert abs(node.clock.wall_ms() - await server_ms(place)) < NEAR_MS

    async def test_a_heartbeat_tells_the_time(self, place: Place, own: ManualClock, node: NodeHands) -> None:
        own.advance(3600.0)

        await node.beat()

        assert abs(node.clock.wall_ms() - await server_ms(place)) < NEAR_MS

    async def test_whoever_answers_on_a_new_connection_is_asked(
        self, place: Place, own: ManualClock, node: NodeHands
    ) -> None:
        """It may be another server, under the same name, with another clock."""
        own.advance(FRESH_S - 1.0)  # so long its own clock ran, and the server's did not

        await end_connections(place)
        await eventually(lambda: answers(node))

        assert node.clock.wall_ms() - await server_ms(place) < FRESH_S * 500

    @pytest.mark.parametrize("ahead_s", [WRONG_S, -WRONG_S])
    async def test_a_runtime_whose_machines_differ_by_ten_minutes_works_as_others_do(
        self, place: Place, ahead_s: float
    ) -> None:
        began = await server_ms(place)
        worker, client, jobs = runtime_at(place, ahead_s), runtime_at(place, -ahead_s), Registry()

        @jobs.job(name="work", retry=Retry(backoff=0.1))
        async def work(ctx: Ctx) -> int:
            if ctx.attempt == 1:
                raise ValueError("once")
            return ctx.attempt

        worker.include(jobs)
        client.include(jobs)
        async with worker.work({"default": 1}), client:
            handle = await client.jobs["work"].options(delay=0.2).enqueue()
            assert await handle.result(timeout=NEAR_MS / 1000) == 2
            job = await handle.job()
        ended = await server_ms(place)

        assert job.started_at is not None
        assert job.finished_at is not None
        for moment in (job.enqueued_at, job.run_at, job.started_at, job.finished_at):
            assert began - NEAR_MS < moment.timestamp() * 1000 < ended + NEAR_MS
        assert job.run_at <= job.started_at


async def end_connections(place: Place) -> None:
    """Of this test's store."""
    if isinstance(place, RedisPlace):
        with place.server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    else:
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callboard'"
        )


async def answers(node: NodeHands) -> bool:
    """Whether the store takes a job."""
    try:
        await node.enqueue()
    except Unavailable:
        return False
    return True


def runtime_at(place: Place, ahead_s: float) -> Runtime:
    """On a machine whose wall clock is wrong."""
    environment = Environment(WrongClock(ahead_s), random.Random(1), random.Random(ahead_s).randbytes)
    return Runtime(url_of(place), environment=environment)
