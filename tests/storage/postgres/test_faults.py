"""Faults of the server and of the way to it, one test each, at a store's handle. Nodes meet them in tests/faults/.

The server is this file's own, since it is hurt; a handle reaches it through a proxy that cuts, stalls and loses.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from callboard.kernel.clock import SystemClock
from callboard.storage.errors import StorageError, Unavailable
from callboard.storage.job import Claimed, JobState, NewJob
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.postgres.jobs import PostgresJobs
from callboard.storage.postgres.lanes import Lanes
from callboard.storage.records import Beat, HandBack, Wakeup
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.node_hands import ALL, NodeHands, assert_counters_are_true
from tests.support.persistence import until_answered
from tests.support.rhythm import every
from tests.support.servers.postgres import PostgresServer

from .conftest import server_of_its_own

pytestmark = pytest.mark.anyio

T = TypeVar("T")
BOOT = b"A" * 16


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with server_of_its_own() as server:
        yield server


@pytest.fixture(autouse=True)
def leaves_nothing_behind(server: PostgresServer) -> None:
    """The server of the module is there before and after; tasks and connections are looked at where they are made."""


@pytest.fixture
def proxy(server: PostgresServer, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(server.socket, tmp_path / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
async def direct(server: PostgresServer) -> AsyncIterator[NodeHands]:
    """A fresh schema, by a handle that nothing stands before."""
    async with opened(server.url) as hands:
        yield hands
    await execute(server, "DROP SCHEMA callboard CASCADE")


@pytest.fixture
async def node(direct: NodeHands, proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[NodeHands]:
    """A node whose every connection leads through the proxy."""
    async with opened(f"postgresql:///postgres?host={tmp_path}&user=postgres") as hands:
        yield hands
        proxy.heal()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[NodeHands]:
    store = PostgresStore(url, clock=SystemClock())
    await store.open()
    try:
        yield NodeHands(store, SystemClock(), boot_id=BOOT, seed=random.getrandbits(32))
    finally:
        await store.close()


async def execute(server: PostgresServer, text: str, **settings: str) -> None:
    connection = await asyncpg.connect(server.url, server_settings=settings)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


async def test_f22_connections_cut_again_and_again_lose_and_double_nothing(
    node: NodeHands, direct: NodeHands, proxy: FaultProxy
) -> None:
    """5,000 inserts by 20 callers, and on until every connection was reset twenty times, ten times a second."""
    jobs: list[NewJob] = []
    created = 0

    async def enqueue() -> None:
        nonlocal created
        while len(jobs) < 5000 or len(cuts) < 20:
            jobs.append(job := node.new_job())
            [was_created] = await until_answered(partial(node.insert, job))
            created += was_created

    with every(0.1, proxy.cut) as cuts:
        await asyncio.gather(*(enqueue() for _ in range(20)))

    assert sum(cuts) > 0  # connections that were open at the moment of a cut
    assert created <= len(jobs)  # where the reply was cut off, the repeat finds its own job there
    assert await direct.store.jobs.count(ALL) == len(jobs)
    assert all(await direct.store.jobs.get([job.id for job in jobs]))
    await assert_counters_are_true(direct.store)


async def test_f23_each_reply_of_a_jobs_life_may_be_lost(node: NodeHands, direct: NodeHands, proxy: FaultProxy) -> None:
    """The server has done what was asked, and the connection ends before it says so; for the n-th reply of all."""
    n = 0
    while True:
        before = proxy.dropped
        proxy.drop_reply(n)
        await live(node)
        if proxy.dropped == before:
            break
        n += 1
    proxy.heal()

    assert n > 15
    counts = await direct.store.queues.counts()
    assert counts[JobState.COMPLETED] == sum(counts.values()) == 3 * (n + 1)
    assert (await direct.beat()).orphans == []
    await assert_counters_are_true(direct.store)


async def live(node: NodeHands) -> None:
    """Three jobs: one is retried, one handed back; all complete. Nothing may be refused, and no job starts twice."""
    jobs = [node.new_job() for _ in range(3)]
    await until_answered(lambda: node.store.jobs.insert(jobs))
    held = {claimed.id: claimed for claimed in await claim_for_sure(node, 3)}
    assert held.keys() == {job.id for job in jobs}
    first, second, third = (held[job.id] for job in jobs)
    assert (await until_answered(lambda: node.beat(first, second, third))).lost == []
    assert await until_answered(lambda: node.finish(first, result=b"1"))
    assert await until_answered(lambda: node.retry(second, run_in_s=-1))
    assert await until_answered(lambda: node.hand_back(third))
    again = await claim_for_sure(node, 2)
    assert {claimed.id for claimed in again} == {second.id, third.id}
    for claimed in again:
        assert await until_answered(partial(node.finish, claimed))


async def claim_for_sure(node: NodeHands, count: int) -> list[Claimed]:
    """As a node does: what a lost reply had leased comes back by the heartbeat, and is handed back."""
    found: list[Claimed] = []
    while len(found) < count:
        try:
            found += await node.claim(count - len(found))
        except Unavailable:
            await until_answered(partial(hand_back_orphans, node, found))
    return found


async def hand_back_orphans(node: NodeHands, held: list[Claimed]) -> None:
    reply = await node.beat(*held)
    backs = [HandBack(one.id, one.claim_token, one.queue) for one in reply.orphans]
    assert all(await node.store.jobs.hand_back(backs, boot_id=BOOT))


@pytest.mark.timeout(60)
async def test_f24_a_silent_connection_is_replaced_within_ten_seconds(node: NodeHands, proxy: FaultProxy) -> None:
    """Half-open: what was connected before gets no answer any more, new connections pass."""
    claimed = await node.start(lease_ms=30_000)
    heart = node.store.heartbeats()
    await heart.open()
    heard: list[object] = []
    await node.store.wakeups.listen(heard.append)
    silent = proxy.connections
    began = time.monotonic()
    proxy.silence()

    async def finish() -> float:
        assert await until_answered(lambda: node.finish(claimed))
        return time.monotonic() - began

    async def beat() -> float:
        beats = [Beat(claimed.id, claimed.claim_token)]
        renewing = lambda: heart.heartbeat(beats, boot_id=BOOT, lease_ms=8_000, report=b"")  # noqa: E731
        await until_answered(renewing)
        return time.monotonic() - began

    async def listen() -> float:
        await eventually(lambda: () in heard, within_s=20)
        return time.monotonic() - began

    renewed = await beat()
    took = await asyncio.gather(finish(), listen())
    await heart.close()

    assert silent >= 3
    assert renewed < 8.0 / 2  # of its lease: there is time left
    assert max(took) < 10.0


async def test_f27_a_hundred_deadlocks_and_serialization_failures_surface_nowhere(
    direct: NodeHands, server: PostgresServer
) -> None:
    """The server itself raises them, in every third statement that claims or ends, one kind after the other."""
    kind = "CASE currval('callboard.tries') % 2 WHEN 0 THEN '40P01' ELSE '40001' END"
    await inject(server, "running", f"IF nextval('callboard.tries') % 3 = 0 THEN RAISE 'x' USING ERRCODE = {kind}")
    ids = await direct.enqueue_many(120)
    ended = 0
    while ended < 120:
        for claimed in await direct.claim(1):
            ended += await direct.finish(claimed)

    assert {job.state for job in await direct.store.jobs.get(ids) if job} == {JobState.COMPLETED}
    assert await value_of(server, "SELECT last_value FROM callboard.tries") >= 300  # a third of them raised
    await assert_counters_are_true(direct.store)


async def inject(server: PostgresServer, table: str, body: str, when: str = "INSERT OR DELETE", each: str = "") -> None:
    await execute(
        server,
        f"""
        CREATE SEQUENCE callboard.tries;
        CREATE FUNCTION callboard.injected() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {body}; END IF; RETURN NULL; END $$;
        CREATE TRIGGER injected AFTER {when} ON callboard.{table} {each} EXECUTE FUNCTION callboard.injected();
        """,
    )


async def value_of(server: PostgresServer, text: str) -> Any:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(text)
    finally:
        await connection.close()


async def test_f28_a_claim_that_takes_too_long_asks_for_half(direct: NodeHands, server: PostgresServer) -> None:
    """A trigger takes 3 ms for each claimed row, and the server ends what takes 50 ms."""
    ids = await direct.enqueue_many(100)
    await inject(server, "running", "IF pg_sleep(0.003) IS NOT NULL THEN NULL", "INSERT", "FOR EACH ROW")
    async with opened(f"{server.url}&statement_timeout=50ms") as hurried:
        with pytest.raises(StorageError):  # the server means it
            await lanes_of(hurried).reads.run(lambda connection: connection.execute("SELECT pg_sleep(1)"))

        claims = await hurried.claim(100)

        assert [claimed.id for claimed in claims] == ids  # whole and in order, in portions
        assert isinstance(hurried.store.jobs, PostgresJobs)
        portion = hurried.store.jobs._claimed
        assert portion.most < 50
        await execute(server, "DROP FUNCTION callboard.injected CASCADE")
        await hurried.enqueue_many(1000)
        assert len(await hurried.claim(1000)) == 1000
        assert portion.most > 100  # and it grows again


def lanes_of(hands: NodeHands) -> Lanes:
    assert isinstance(hands.store, PostgresStore)
    return hands.store._lanes


async def test_f29_a_server_turned_read_only_is_left_and_found_again(direct: NodeHands, server: PostgresServer) -> None:
    claimed = await direct.start()
    await direct.enqueue()
    await execute(server, "ALTER SYSTEM SET default_transaction_read_only = on")
    await execute(server, "SELECT pg_reload_conf()")
    await eventually(lambda: is_refused(direct.enqueue))
    assert await is_refused(direct.claim)

    await execute(server, "ALTER SYSTEM RESET default_transaction_read_only", default_transaction_read_only="off")
    await execute(server, "SELECT pg_reload_conf()")

    await eventually(lambda: not_refused(lambda: direct.finish(claimed)), within_s=2.0)
    assert await direct.claim()  # what was inserted while the server had not turned yet


async def test_f29_nothing_is_claimed_from_a_standby(direct: NodeHands, server: PostgresServer) -> None:
    await direct.enqueue()
    server.become_standby()

    with pytest.raises(Unavailable):
        await direct.claim()
    with pytest.raises(Unavailable, match="standby"):
        await until_other_than_lost(direct.claim)
    with pytest.raises(Unavailable, match="standby"):
        await until_other_than_lost(lambda: direct.store.jobs.count(ALL))  # what it says may be old

    await execute(server, "SELECT pg_promote()")
    await eventually(lambda: not_refused(direct.claim), within_s=2.0)
    assert await direct.store.jobs.count(ALL) == 1


async def until_other_than_lost(call: Callable[[], Awaitable[T]]) -> T:
    """The answer, once connections of before were found to be gone."""
    for _ in range(10):
        try:
            return await call()
        except Unavailable as error:
            if "standby" in str(error):
                raise
    raise AssertionError("neither answered nor refused")


async def is_refused(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except Unavailable:
        return True
    return False


async def not_refused(call: Callable[[], Awaitable[object]]) -> bool:
    return not await is_refused(call)


async def test_f44_a_batch_cut_at_any_byte_is_there_whole_or_not_at_all(
    node: NodeHands, direct: NodeHands, proxy: FaultProxy
) -> None:
    """1,000 jobs in one call, some 100 KB; the connection is reset behind a random one of its bytes."""
    rng = random.Random(44)
    whole = 0
    for _ in range(30):
        jobs = [node.new_job(payload=rng.randbytes(40)) for _ in range(1000)]
        proxy.cut_after(rng.randrange(1, 110_000))
        created = False
        try:
            created = all(await node.store.jobs.insert(jobs))
        except Unavailable:
            found = await direct.store.jobs.get([job.id for job in jobs])
            assert len({job is None for job in found}) == 1, "a part of the batch"
            whole += found[0] is not None
        proxy.heal()
        if not created:
            await until_answered(partial(node.insert, *jobs))

    assert await direct.store.jobs.count(ALL) == 30_000
    await assert_counters_are_true(direct.store)


async def test_what_the_client_says_of_a_killed_server_is_an_outage(node: NodeHands, proxy: FaultProxy) -> None:
    """Whatever it comes to inside of the client: the handle throws the connection away, and goes on."""
    for _ in range(30):
        calls = [node.enqueue(), node.claim(), node.beat(), node.store.wakeups.announce([Wakeup("work", "")])]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        proxy.cut()
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert not isinstance(answer, BaseException) or isinstance(answer, Unavailable), answer
    assert await until_answered(node.enqueue)
