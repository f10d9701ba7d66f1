"""Roles on SQLite: first in line at the writer, by the machine's monotonic clock."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from callboard.kernel.clock import ManualClock
from callboard.storage.errors import StorageReset, TermOver, Unavailable
from callboard.storage.role import RoleRow, Term
from callboard.storage.sqlite import connection
from callboard.storage.sqlite.driver import SqliteStore
from tests.support.node_hands import NodeHands

from .conftest import Opener
from .test_clocks import BootedHost
from .test_writer import Held

A, B = b"A" * 16, b"B" * 16
LEASE_MS = 3_600_000


async def take(store: SqliteStore, *, holder: bytes = A) -> Term:
    [row] = await store.roles.campaign(["leader"], holder=holder, lease_ms=LEASE_MS)
    assert row.term is not None
    return row.term


@pytest.mark.parametrize("hours", [-30, 30])
async def test_a_jump_of_the_wall_clock_moves_no_term(store: SqliteStore, clock: ManualClock, hours: int) -> None:
    term = await take(store)

    clock.jump_wall(hours * 3600)

    assert await take(store, holder=B) == term
    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]


async def test_a_restart_of_the_machine_ends_every_term_and_numbers_go_on_growing(open_store: Opener) -> None:
    numbers = []
    for run in range(3):  # the monotonic clock begins again each time, far below the old lease
        clock = ManualClock(monotonic=1000.0 - run)
        store = await open_store(host=BootedHost(run), clock=clock)
        assert [row.holder for row in await store.roles.list()] == [None] * (run > 0)
        numbers.append((await take(store)).number)
        await store.close()

    assert numbers == [1, 2, 3]


async def test_a_restart_of_the_machine_ends_terms_also_where_former_code_is_the_first_to_look(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows of leases on jobs alone, and notes that it has ended them."""
    store = await open_store(host=BootedHost(1))
    term = await take(store)
    await store.close()
    with monkeypatch.context() as former:
        former.setattr(connection, "_ENDS_WITH_THE_MACHINE", connection._ENDS_WITH_THE_MACHINE[:1])
        await (await open_store(host=BootedHost(2), clock=ManualClock(monotonic=5))).close()

    store = await open_store(host=BootedHost(2), clock=ManualClock(monotonic=6))

    assert list(await store.roles.list()) == [RoleRow("leader", None, term.number, 0)]
    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [False]


async def test_a_restart_of_the_process_ends_no_term(open_store: Opener) -> None:
    store = await open_store(host=BootedHost(1))
    term = await take(store)
    await store.close()

    store = await open_store(host=BootedHost(1))

    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]


async def test_roles_go_before_all_that_waits(store: SqliteStore, node: NodeHands) -> None:
    term = await take(store)
    answered: list[str] = []

    async def insert() -> None:
        await store.jobs.insert([node.new_job() for _ in range(1000)])
        answered.append("insert")

    async def renew() -> None:
        assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]
        answered.append("renew")

    held = await Held(store).until_held()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(insert())
        await asyncio.sleep(0)
        tasks.create_task(renew())
        await asyncio.sleep(0)
        await held.release()

    assert answered[0] == "renew"


async def test_a_file_that_another_program_keeps_locked_is_told_in_bounded_time(open_store: Opener, path: Path) -> None:
    store = await open_store(lock_timeout_s=0.2)
    term = await take(store)
    other = connection.connect(str(path), wait_s=5)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="locked by another process"):
        await store.roles.renew([term], lease_ms=LEASE_MS)

    other.execute("ROLLBACK")
    other.close()
    assert await store.roles.renew([term], lease_ms=LEASE_MS) == [True]


async def test_a_file_that_was_replaced_grants_and_renews_nothing(
    open_store: Opener, path: Path, node: NodeHands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOOK_AT_FILE_S", 0.0)
    store = await open_store()
    term = await take(store)
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        os.rename(name, f"{name}.old")

    for _ in range(2):
        with pytest.raises(StorageReset):
            await take(store)
        with pytest.raises(StorageReset):
            await store.roles.renew([term], lease_ms=LEASE_MS)
        with pytest.raises(StorageReset):
            await store.jobs.insert([node.new_job()], fence=term)


async def test_a_refused_write_is_rolled_back_alone(store: SqliteStore, node: NodeHands) -> None:
    """Many calls share one transaction: the one whose term is over must not take the others with it."""
    over = (await take(store))._replace(number=0)
    held = await Held(store).until_held()
    calls = [asyncio.ensure_future(store.jobs.insert([node.new_job()])) for _ in range(3)]
    calls.insert(1, asyncio.ensure_future(store.jobs.insert([node.new_job()], fence=over)))
    await held.release()

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(answer, TermOver) or answer for answer in answers] == [[True], True, [True], [True]]
