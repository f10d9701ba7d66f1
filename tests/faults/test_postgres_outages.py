"""Nodes whose PostgreSQL server stops, starts anew, is locked or is full: what they do while it lasts, and after it.

Each server is the test's own, since it is hurt.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from callboard import JobState, Runtime, Unavailable
from tests.faults.load import Load, passing
from tests.faults.stage import LEASE_S, Stage, staged
from tests.support.eventually import eventually
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer


@asynccontextmanager
async def on_server(folder: Path, *settings: str) -> AsyncIterator[tuple[Stage, PostgresServer]]:
    """A stage on a server of its own."""
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    server = await asyncio.to_thread(PostgresServer, settings)
    try:
        async with staged(folder, server.url) as stage:
            yield stage, server
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.timeout(120)
async def test_f20_a_postgres_server_that_is_killed_and_starts_again_costs_nothing(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        nodes = [stage.node("default=3", "mail=5", CALLBOARD_LEASE="10s") for _ in range(2)]
        long = [await stage.enqueue("work", 4.0) for _ in range(4)]
        await stage.begun(4)
        load = Load(stage)
        began = time.monotonic()
        await eventually(lambda: load.effects_since(began) >= 50)
        before = load.effects_since(began) / (time.monotonic() - began)

        server.kill(signal.SIGKILL)
        await passing(2.0)
        await asyncio.to_thread(server.start_again)
        up = time.monotonic()

        def is_back() -> bool:
            """Half as many in a second as before it, at least: other work may slow both sides."""
            return load.effects_since(time.monotonic() - 1.0) >= 0.5 * before

        await eventually(is_back, within_s=30.0)
        back_s = time.monotonic() - up
        await load.stop()
        for handle in [*load.acknowledged, *long]:
            await handle.result(timeout=20)
        print(f"{len(load.acknowledged)} acknowledged, {before:.0f}/s before, back {back_s:.1f} s after the start")
        await stage.assert_all_completed_once(long)
        assert [(await stage.row(handle)).crashes for handle in long] == [0] * 4
        assert len(stage.records("effect")) <= len(load.acknowledged) + 4 + 10  # one for each slot, at most
        for node in nodes:
            assert node.exit_code is None
            assert "Traceback" not in node.text()


@pytest.mark.timeout(120)
async def test_f21_an_outage_of_three_leases_on_postgres_expires_nobody(tmp_path: Path) -> None:
    """Both nodes give up their attempts in time, beside a handler that leaves the loop no rest; then each takes back
    what was its own, and no crash is counted: nobody expired anybody in the first moment.
    """
    async with on_server(tmp_path) as (stage, server):
        nodes = [stage.node("default=3", "busy=1") for _ in range(2)]
        handles = [await stage.enqueue("work", 2.5) for _ in range(6)]
        busy = [await stage.enqueue("keeps_the_loop_busy", 3.0, queue="busy") for _ in range(2)]
        await stage.begun(8)
        down = time.monotonic()
        server.kill(signal.SIGQUIT)
        await eventually(lambda: len(stage.records("interrupted")) == 6)
        given_up = max(record.at for record in stage.records("interrupted")) - down

        await passing(down + 3 * LEASE_S - time.monotonic())
        await asyncio.to_thread(server.start_again)

        assert given_up <= LEASE_S
        for handle in handles + busy:
            await handle.result(timeout=30)
        for handle in handles:
            row = await stage.row(handle)
            assert (row.state, row.attempt, row.crashes) == (JobState.COMPLETED, 1, 0)
            assert [record.what for record in stage.records(job=handle)] == ["start", "interrupted", "start", "effect"]
        for node in nodes:
            assert node.exit_code is None
            assert "rescued jobs" not in node.text()
            assert "Traceback" not in node.text()


@pytest.mark.timeout(60)
async def test_f21_a_node_that_is_killed_on_postgres_is_rescued_as_ever(tmp_path: Path) -> None:
    """The grace is for outages: a lease, a sweep and a second after a kill its jobs run elsewhere."""
    async with on_server(tmp_path) as (stage, _):
        first = stage.node("default=3")
        for _ in range(3):
            await stage.enqueue("work", 600)
        await stage.begun(3)
        second = stage.node("default=3")
        await passing(LEASE_S)  # the server is older than a lease, as servers are

        killed = first.signal(signal.SIGKILL)

        again = await stage.begun(3, pid=second.pid)
        assert max(record.at for record in again) - killed <= LEASE_S + LEASE_S / 3 + 1.0


async def test_f25_a_lost_postgres_listener_delays_no_job_and_is_made_anew(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        stage.node("default=3")
        listeners = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        connection = await asyncpg.connect(server.url)
        await eventually(lambda: connection.fetchval(f"SELECT count(*) = 2 {listeners}"))  # of the node, and our own

        gone = await connection.fetch(f"SELECT pg_terminate_backend(pid), pid {listeners}")
        enqueued = time.monotonic()
        handle = await stage.enqueue("ends_well")
        await handle.result(timeout=20)

        [start] = stage.records("start", job=handle)
        assert start.at - enqueued <= 1.0 + LEASE_S / 3
        former = [row["pid"] for row in gone]
        await eventually(
            lambda: connection.fetchval(f"SELECT count(*) = 2 {listeners} AND pid <> ALL ($1::integer[])", former)
        )
        await connection.close()


@pytest.mark.timeout(120)
async def test_f26_postgres_without_free_connections_is_waited_for(tmp_path: Path) -> None:
    """Eight connections for a node and a client, which want more, and others that sit on what is left, if anything is.

    A node that gets fewer than it would have shares them among its kinds of work.
    """
    async with on_server(tmp_path, "max_connections=8", "superuser_reserved_connections=0") as (stage, server):
        node = stage.node("default=3")
        hogs = [one async for one in hogging(server)]
        with pytest.raises(Unavailable, match=r"too many clients|connection slots"):
            async with Runtime(server.url, migrate=True):
                pass
        handles = [asyncio.ensure_future(stage.enqueue("ends_well")) for _ in range(20)]
        await passing(LEASE_S)
        assert node.exit_code is None

        for hog in hogs:
            await hog.close()

        for handle in await asyncio.gather(*handles):
            assert await handle.result(timeout=30) >= 1
        assert node.exit_code is None
        assert "Traceback" not in node.text()


async def hogging(server: PostgresServer) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connections until there are no more."""
    while True:
        try:
            yield await asyncpg.connect(server.url)
        except asyncpg.TooManyConnectionsError:
            return


@pytest.mark.timeout(60)
async def test_f31_postgres_tables_locked_for_three_seconds_lose_no_lease(tmp_path: Path) -> None:
    async with on_server(tmp_path) as (stage, server):
        nodes = [stage.node("default=5", CALLBOARD_LEASE="10s") for _ in range(2)]
        running = [await stage.enqueue("work", 1.0) for _ in range(10)]
        await stage.begun(10)
        other = await asyncpg.connect(server.url)

        async with other.transaction():
            await other.execute(
                "LOCK TABLE callboard.jobs, callboard.running, callboard.ready IN ACCESS EXCLUSIVE MODE"
            )
            waiting = [asyncio.ensure_future(stage.enqueue("work", 0.01)) for _ in range(20)]
            await passing(3.0)

        await other.close()
        handles = running + list(await asyncio.gather(*waiting))
        for handle in handles:
            assert await handle.result(timeout=20) == 1
        await stage.assert_all_completed_once(handles)
        assert [(await stage.row(handle)).crashes for handle in handles] == [0] * 30
        for node in nodes:
            assert not [line for line in node.text().splitlines() if "warning" in line or "error" in line], node.text()
