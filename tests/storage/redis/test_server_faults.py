"""The server restarts, forgets, fills up, turns read-only or falls silent: what callers see, and what stays."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import Collection

import pytest
import redis

from callboard.kernel.clock import SystemClock
from callboard.storage.errors import Corrupt, Full, Unavailable
from callboard.storage.job import JobState
from callboard.storage.records import Finish, JobFilter, Node, Wakeup
from callboard.storage.redis import rows
from callboard.storage.redis.address import Address
from callboard.storage.redis.connection import Script
from callboard.storage.redis.driver import RedisStore
from callboard.storage.redis.keys import Keys
from callboard.storage.redis.wakeups import RedisWakeups
from tests.storage.redis.conftest import handle
from tests.support.eventually import eventually
from tests.support.node_hands import ALL, NodeHands, assert_counters_are_true, in_state
from tests.support.persistence import until_answered
from tests.support.servers.redis import RedisServer

pytestmark = pytest.mark.anyio
WORK = Wakeup("work", "default")


async def test_jobs_outlive_a_server_that_was_killed(server: RedisServer, store: RedisStore, node: NodeHands) -> None:
    """F20 for a handle; with nodes in tests/faults."""
    ids = await node.enqueue_many(100)
    held = await node.claim(10)

    server.stop(signal.SIGKILL)
    with pytest.raises(Unavailable):
        await node.enqueue()
    server.start()

    await until_answered(store.queues.counts)
    assert all([await node.finish(claimed) for claimed in held])
    assert [claimed.id for claimed in await node.claim(100)] == ids[10:]
    await assert_counters_are_true(store)


async def test_a_server_that_loads_its_data_is_waited_for(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F20: it answers LOADING meanwhile; and the time since its start is told with each renewal."""
    await node.enqueue()
    with server.at.client() as client:
        client.execute_command("DEBUG", "POPULATE", "120000")
        client.config_set("aof-use-rdb-preamble", "no")  # a command for each key takes its time
        client.bgrewriteaof()
        await eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    server.stop()
    starting = asyncio.create_task(asyncio.to_thread(server.start))

    errors: set[str] = set()
    while not starting.done():
        try:
            await node.claim()
        except Unavailable as error:
            errors.add(str(error))
    await starting

    assert any("loading" in error for error in errors), errors
    beating = store.heartbeats()
    await beating.open()
    reply = await beating.heartbeat([], boot_id=node.boot_id, lease_ms=30_000, report=b"")
    await beating.close()
    assert reply.up_ms is not None
    assert reply.up_ms < 30_000


async def test_scripts_that_the_server_forgot_are_given_again(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F34 for each call; under load in test_lost_replies.py."""
    with server.at.client() as client:
        for _ in range(20):
            client.script_flush()
            claimed = await node.start()
            client.script_flush()
            assert await node.finish(claimed)


async def test_a_store_that_was_emptied_takes_nothing_from_before(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F33: no token from before is accepted; nodes in tests/faults."""
    zombie = await node.start()
    with server.at.client() as client:
        client.flushall()
    anew = handle(server)
    await anew.open()
    hands = NodeHands(anew, SystemClock(), boot_id=node.boot_id)
    await anew.jobs.insert([hands.new_job()._replace(id=zombie.id)])
    await hands.claim_one()
    before = await hands.observe()

    for call in (node.finish, node.retry, node.snooze, node.hand_back, node.beat):
        with pytest.raises(Corrupt, match="storage_reset"):
            await call(zombie)
    with pytest.raises(Corrupt, match="storage_reset"):
        await node.claim()
    with pytest.raises(Corrupt, match="storage_reset"):
        await node.enqueue()

    assert await hands.observe() == before
    await anew.close()


async def test_a_full_server_refuses_new_jobs_and_takes_the_ends(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F30 for every verb; with a node in tests/faults."""
    ids = await node.enqueue_many(50)
    held = await node.claim(10)
    with server.at.client() as client:
        large = [node.new_job(payload=bytes(100_000)) for _ in range(10)]
        await store.jobs.insert(large)
        before = await store.jobs.count(ALL)
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 200_000)

        with pytest.raises(Full, match="maxmemory"):
            await store.jobs.insert([node.new_job() for _ in range(3)])
        assert await store.jobs.count(ALL) == before

        assert (await node.beat(*held, progress=b"half")).lost == []
        assert await node.retry(held[0])
        assert await node.snooze(held[1])
        assert await node.hand_back(held[2])
        for claimed in held[3:]:
            assert await node.finish(claimed, result=b"result" * 10)
        rest = await node.claim(10)
        assert [claimed.id for claimed in rest] == [ids[2], *ids[10:19]]
        assert await store.jobs.cancel([ids[30]], reason="room")
        assert await store.jobs.revive([ids[30]]) == [True]
        assert await store.jobs.delete([job.id for job in large]) == [True] * 10

        assert await node.enqueue()
    await assert_counters_are_true(store)


async def test_a_server_that_turned_replica_is_unavailable_until_it_turns_back(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F29 for a handle."""
    claimed = await node.start()
    with server.at.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="is a replica"):
            await node.enqueue()
        with pytest.raises(Unavailable):
            await node.finish(claimed)
        client.execute_command("REPLICAOF", "NO", "ONE")

    assert await node.finish(claimed)


async def test_a_busy_server_is_unavailable(server: RedisServer, store: RedisStore, node: NodeHands) -> None:
    """F28 for a handle."""
    with server.at.client() as client, server.at.client() as other:
        client.config_set("lua-time-limit", 1)
        endless = asyncio.get_running_loop().run_in_executor(None, run_until_killed, other)
        await eventually(lambda: is_busy(client))

        with pytest.raises(Unavailable, match="BUSY"):
            await node.enqueue()

        client.script_kill()
        await endless
    assert await node.enqueue()


def run_until_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


async def test_a_silent_server_is_given_up(server: RedisServer) -> None:
    """F24: no answer within the time-out."""
    store = handle(server, timeout_s=0.2)
    await store.open()
    assert server.process is not None

    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            await store.queues.counts()
    finally:
        server.process.send_signal(signal.SIGCONT)

    assert sum((await store.queues.counts()).values()) == 0
    await store.close()


async def test_no_connection_left_on_the_server_is_unavailable(server: RedisServer) -> None:
    """F26 for a handle that opens."""
    with server.at.client() as client, server.at.client() as other:
        client.config_set("maxclients", 2)
        client.ping()
        other.ping()

        with pytest.raises(Unavailable):
            await handle(server).open()


async def test_a_batch_that_was_cut_on_its_way_is_kept_whole_or_not_at_all(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    """F44 by raw bytes, with no client between."""
    chance = random.Random(44)
    keys = Keys("jobs")
    script = Script("lua/jobs/insert.lua")
    with server.at.client() as client:
        store_id = client.hget(keys.meta, "store_id")
    for number in range(20):
        batch = rows.inserted([node.new_job(queue=f"q{number}") for _ in range(1000)], SystemClock().wall_ms())
        words = [b"EVAL", script.text.encode(), str(len(keys.fixed)).encode(), *(key.encode() for key in keys.fixed)]
        words += [store_id, keys.prefix.encode(), batch]
        call = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        cut_at = chance.randrange(len(call) + 1) if number else len(call)
        with socket.create_connection((server.at.host, server.at.port)) as raw:
            raw.sendall(call[:cut_at])
            if cut_at == len(call):
                assert raw.recv(5) == b"$1000"

        kept = await store.jobs.count(JobFilter(queue=f"q{number}"))

        assert kept == (1000 if cut_at == len(call) else 0)


async def test_a_header_that_nobody_wrote_ends_its_job_and_blocks_no_line(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    waiting, due, fine = await node.enqueue(), await node.enqueue(run_in_s=0.001), await node.enqueue()
    with server.at.client() as client:
        for job_id in (waiting, due):
            client.hset("{jobs}:head", job_id, b"\xff garbage")

        claims = []
        await eventually(lambda: SystemClock().wall_ms() > int.from_bytes(due[:6], "big") + 1)
        claims += await node.claim()

        assert [claimed.id for claimed in claims] == [fine]
        assert client.hget("{jobs}:bad", waiting) == client.hget("{jobs}:bad", due) == b"\xff garbage"
    for job_id in (waiting, due):
        job = await node.job(job_id)
        assert (job.state, job.reason, job.payload) == (JobState.FAILED, "undecodable", b"args")


async def test_a_key_of_another_kind_is_reported_not_overwritten(
    server: RedisServer, store: RedisStore, node: NodeHands
) -> None:
    with server.at.client() as client:
        client.set("{jobs}:head", "theirs")

        with pytest.raises(Corrupt, match="WRONGTYPE"):
            await node.enqueue()

        assert client.get("{jobs}:head") == b"theirs"


async def test_every_key_of_a_life_carries_the_tag(server: RedisServer, store: RedisStore, node: NodeHands) -> None:
    job_ids = await node.enqueue_many(3)
    first, second, third = await node.claim()
    await node.beat(first, progress=b"half")
    await node.finish(first, result=b"1", reason="why")
    await node.retry(second)
    await store.queues.pause(["other"])

    with server.at.client() as client:
        keys = set(client.execute_command("KEYS", "*") or ())

    assert third.id in job_ids
    assert {b"{jobs}:ids", b"{jobs}:lease:" + node.boot_id, b"{jobs}:due:default"} <= keys
    assert all(key.startswith(b"{jobs}:") for key in keys)


@pytest.mark.parametrize("field", ["node", "seen"])
@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x94\xa1h\xa1p\xa1v\xa1s", b"\x92\xa1s\xa1r", b"\x92\x01\x02", b"\x01"]
)
async def test_a_row_of_a_node_that_cannot_be_read_is_listed_as_never_seen(
    server: RedisServer, store: RedisStore, field: str, raw: bytes
) -> None:
    await store.nodes.register(Node(b"A" * 16, "here", 1, "1.0", started_at=5))
    await store.nodes.register(Node(b"B" * 16, "there", 2, "1.0", started_at=6))
    with server.at.client() as client:
        [key] = [name for name in (b"{jobs}:nodes", b"{jobs}:seen") if field in name.decode()]
        client.hset(key, b"A" * 16, raw)

    unreadable, other = await store.nodes.list()

    assert (unreadable.boot_id, unreadable.host, unreadable.seen_at) == (b"A" * 16, "(unreadable)", 0)
    assert (other.host, other.pid) == ("there", 2)


async def test_a_batch_beyond_what_lua_takes_at_once_is_whole(store: RedisStore, node: NodeHands) -> None:
    ids = await node.enqueue_many(5000)
    claims = await node.claim(5000)
    ends = [Finish(one.id, one.claim_token, one.queue, JobState.COMPLETED, 1, b"r", reason="w") for one in claims]

    assert [claimed.id for claimed in claims] == ids
    assert all(await store.jobs.finish(ends, boot_id=node.boot_id))
    assert await store.jobs.revive(ids) == [True] * 5000
    assert {answer.value for answer in await store.jobs.cancel(ids, reason="all")} == {"cancelled"}
    assert await store.jobs.delete(ids[:2500]) == [True] * 2500
    assert await store.jobs.prune(finished_before=SystemClock().wall_ms() + 1, limit=2500) == 2500
    assert await store.jobs.count(ALL) == 0


async def test_a_subscription_that_was_killed_is_made_anew(server: RedisServer, store: RedisStore) -> None:
    """F25 for a handle."""
    listener = handle(server)
    await listener.open()
    heard: list[Collection[Wakeup]] = []
    await listener.wakeups.listen(heard.append)

    with server.at.client() as client:
        client.client_kill_filter(_type="pubsub")
    await eventually(lambda: () in heard)  # look everywhere: something may have been missed
    await store.wakeups.announce([WORK])

    await eventually(lambda: [WORK] in heard)
    await listener.close()


async def test_a_subscription_that_fell_silent_is_made_anew(server: RedisServer, store: RedisStore) -> None:
    """F24 for a subscription."""
    listener = handle(server, timeout_s=0.2, silence_s=0.1)
    await listener.open()
    heard: list[Collection[Wakeup]] = []
    await listener.wakeups.listen(heard.append)
    with server.at.client() as client:
        [before] = client.client_list(_type="pubsub")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        server.process.send_signal(signal.SIGCONT)
        await store.wakeups.announce([WORK])
        await eventually(lambda: [WORK] in heard)
        assert [one["id"] for one in client.client_list(_type="pubsub")] == [before["id"]]  # alive: it answers

        server.process.send_signal(signal.SIGSTOP)
        try:
            await eventually(lambda: not is_subscribed(listener))
        finally:
            server.process.send_signal(signal.SIGCONT)

        await eventually(lambda: () in heard)
    await listener.close()


def is_subscribed(store: RedisStore) -> bool:
    assert isinstance(store.wakeups, RedisWakeups)
    return store.wakeups.is_subscribed


async def test_wakeups_that_nobody_understands_mean_look_everywhere(server: RedisServer, store: RedisStore) -> None:
    heard: list[Collection[Wakeup]] = []
    await store.wakeups.listen(heard.append)

    with server.at.client() as client:
        client.publish("{jobs}:wakeups", b"\xc1 not ours")

    await eventually(lambda: heard == [()])


async def test_announcing_to_a_server_that_is_gone_raises_nothing(server: RedisServer, store: RedisStore) -> None:
    server.stop()

    await store.wakeups.announce([WORK])


async def test_a_node_of_a_cluster_takes_a_namespace_whole(server: RedisServer) -> None:
    """Every key of every script lies in one slot, or the cluster would refuse it."""
    clustered = RedisServer(server.binary, "--cluster-enabled", "yes")
    clustered.start()
    try:
        with clustered.at.client() as client:
            with pytest.raises(Unavailable, match="Hash slot not served"):
                await handle(clustered).open()
            slots = range(16384)
            client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            await eventually(lambda: "'cluster_state': 'ok'" in str(client.execute_command("CLUSTER INFO")))
        store = handle(clustered)
        await store.open()
        hands = NodeHands(store, SystemClock(), boot_id=b"A" * 16)
        for state in JobState:
            await in_state(hands, state, queue=state.value)
        await hands.beat()
        await hands.rescue()
        await store.queues.pause(["other"])
        assert await store.jobs.prune(finished_before=SystemClock().wall_ms() + 1, limit=10) == 4
        await assert_counters_are_true(store)
        await store.close()
    finally:
        clustered.remove()


async def test_who_may_not_publish_enqueues_all_the_same(server: RedisServer, store: RedisStore) -> None:
    """A hint that goes with an insert is no condition of it: others find the jobs by looking."""
    with server.at.client() as client:
        client.acl_setuser(
            "quiet", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], reset_channels=True
        )
    quiet = RedisStore(
        Address(server.at.host, server.at.port, namespace="jobs", username="quiet", password="secret"),
        clock=SystemClock(),
    )
    await quiet.open()
    hands = NodeHands(quiet, SystemClock(), boot_id=b"Q" * 16)

    hint = quiet.wakeups.take_along([WORK])
    assert hint is not None
    assert await quiet.jobs.insert([hands.new_job()], hint=hint) == [True]

    assert await store.jobs.count(ALL) == 1
    await quiet.close()
