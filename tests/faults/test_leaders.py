"""A role's holder is killed, stopped in order, stopped and continued, cut off: real processes on each durable store.

`bench/failover.py` does the same many times over and prints all figures.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from harness.processes import BENCH, Proc
from harness.records import Record
from tests.faults.load import passing
from tests.faults.proxied import behind_a_proxy
from tests.faults.stage import Stage, staged
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server
from tests.support.servers.postgres import PostgresServer
from tests.support.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
LEADING = BENCH / "harness" / "leading_node.py"
LEADER_LEASE_S = 2.0
FAILOVER_S = 2.7  # a lease, and a third: a target of the project
HANDOVER_S = 0.2  # likewise
CUT_LEASE_S = 5.0  # of which a tenth lies between the end of trust and that of the lease: a busy machine needs it
LATE_WRITES = 500
STORES = ["sqlite", "postgres", "redis"]


@asynccontextmanager
async def cluster(store: str, folder: Path) -> AsyncIterator[Stage]:
    """A store of that kind, on a server of its own where it has one."""
    if store == "sqlite":
        async with staged(folder) as stage:
            yield stage
        return
    server = await asyncio.to_thread(_started, store)
    url = server.url if isinstance(server, PostgresServer) else server.at.url
    try:
        async with staged(folder, url) as stage:
            yield stage
    finally:
        await asyncio.to_thread(server.stop if isinstance(server, PostgresServer) else server.remove)


def _started(store: str) -> PostgresServer | RedisServer:
    if store == "postgres":
        return PostgresServer()
    path = redis_server.binary()
    assert path is not None
    server = RedisServer(path)
    server.start()
    return server


def lead(stage: Stage, *, writes: int = 0, lease_s: float = LEADER_LEASE_S, **env: str) -> Proc:
    """A node that may lead, ready."""
    return stage.pool.spawn(LEADING, str(writes), CALLBOARD_LEADER_LEASE=f"{lease_s}s", **env).wait_ready()


async def led(stage: Stage, *, after: int = 0) -> Record:
    """The first word of the holder in a later term."""
    [first, *_] = await eventually(lambda: [one for one in stage.records("leads") if one.token > after], within_s=30)
    return first


async def side_by_side(folder: Path, play: Callable[[Stage], Awaitable[None]]) -> None:
    """On all durable stores that are to be had, at once: mostly they wait. Those that are not are told."""
    missing = {"postgres": postgres.missing(), "redis": redis_server.missing()}
    here = [store for store in STORES if missing.get(store) is None]
    folders = {store: Path(mkdtemp(prefix=store, dir=folder)) for store in here}

    async def on(store: str) -> None:
        async with cluster(store, folders[store]) as stage:
            await play(stage)

    await asyncio.gather(*(on(store) for store in here))
    if len(here) < len(STORES):
        pytest.skip("; ".join(why for why in missing.values() if why))


async def test_f47_a_killed_leader_is_followed_within_a_lease_and_a_third(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        nodes = {node.pid: node for node in [lead(stage) for _ in range(2)]}
        last = await led(stage)
        for _ in range(2):
            killed = nodes.pop(last.pid).signal(signal.SIGKILL)
            follows = await led(stage, after=last.token)
            assert follows.at - killed <= FAILOVER_S
            assert follows.token == last.token + 1
            last = follows
            another = lead(stage)
            nodes[another.pid] = another

    await side_by_side(tmp_path, play)


async def test_a_leader_that_is_stopped_in_order_hands_over_within_200_ms(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        nodes = {node.pid: node for node in [lead(stage) for _ in range(2)]}
        first = await led(stage)
        nodes[first.pid].signal(signal.SIGTERM)
        second = await led(stage, after=first.token)
        [left] = [record for record in stage.records("left") if record.token == first.token]

        assert 0 <= second.at - left.at <= HANDOVER_S
        assert nodes[first.pid].wait() == 0

    await side_by_side(tmp_path, play)


async def stopped_while_another_leads(stage: Stage, proc: Proc) -> float:
    """Stop it; when that was. With the lock of the SQLite file in its hand it would hold up everybody: then again."""
    while True:
        stopped = proc.signal(signal.SIGSTOP)
        try:
            await eventually(lambda: last_led(stage).pid != proc.pid, within_s=2 * LEADER_LEASE_S)
        except AssertionError:
            proc.signal(signal.SIGCONT)
            await passing(0.1)
        else:
            return stopped


def last_led(stage: Stage) -> Record:
    """The first word of the holder in the latest term so far."""
    return max(stage.records("leads"), key=lambda one: one.token)


async def test_f48_a_leader_that_stood_still_for_three_leases_writes_nothing_more(tmp_path: Path) -> None:
    """It tries 500 times, with a task that its actor left behind and that does not ask whether it may."""

    async def play(stage: Stage) -> None:
        writer = lead(stage, writes=LATE_WRITES)
        await led(stage)
        await eventually(lambda: len(stage.records("accepted")) >= 20)
        lead(stage)
        stopped = await stopped_while_another_leads(stage, writer)
        before = await stage.runtime.counts("kept")
        await passing(3 * LEADER_LEASE_S - (time.monotonic() - stopped))
        continued = writer.signal(signal.SIGCONT)
        held = max(one.token for one in stage.records("leads", pid=writer.pid))  # a later one, if it was stopped again

        def refused() -> int:
            return sum(one.token == held for one in stage.records("refused", pid=writer.pid))

        await eventually(lambda: refused() == LATE_WRITES, within_s=30)

        assert await stage.runtime.counts("kept") == before
        # What was let through just before it was stopped may be noted after.
        assert len([one for one in stage.records("trusted", pid=writer.pid) if one.at > continued]) <= 1
        assert "role could not be renewed in time" in writer.text()

    await side_by_side(tmp_path, play)


async def test_f49_a_leader_that_is_cut_off_from_its_store_steps_down_before_another_leads(tmp_path: Path) -> None:
    """It serves on meanwhile, says why, and takes part again when the store is back."""
    async with behind_a_proxy("postgres") as (proxy, url, behind), staged(tmp_path, url) as stage:
        await a_cut(stage, proxy, lead(stage, lease_s=CUT_LEASE_S, CALLBOARD_STORE=behind))


async def a_cut(stage: Stage, proxy: FaultProxy, cut: Proc) -> None:
    """Cut the leader off, then let it back and kill the other: `cut` reaches its store through the proxy."""
    first = await led(stage)
    other = lead(stage, lease_s=CUT_LEASE_S)
    proxy.refuse()
    second = await led(stage, after=first.token)
    [left] = stage.records("left", pid=cut.pid)

    assert left.at <= second.at
    assert second.pid == other.pid
    assert cut.exit_code is None
    assert "role could not be renewed in time; its duty stops" in cut.text()
    assert "the store does not answer for a role" in cut.text()
    proxy.heal()
    other.signal(signal.SIGKILL)
    assert (await led(stage, after=second.token)).pid == cut.pid
