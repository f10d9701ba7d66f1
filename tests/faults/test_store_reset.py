"""A store that is emptied or replaced while nodes work on it (F33): they stop, say so, and take nothing from it."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from callboard import Runtime
from callboard.kernel.clock import SystemClock
from callboard.storage.postgres.driver import PostgresStore
from tests.faults.stage import LEASE_S, Stage, staged
from tests.support.eventually import eventually
from tests.support.servers import postgres

SCHEMA = "test_reset"
RENEWAL_S = LEASE_S / 3
SLACK_S = 2.0  # for a machine that does other things meanwhile

Wipe = Callable[[Path], Awaitable[None]]


async def file_deleted(folder: Path) -> None:
    for name in ("jobs.db", "jobs.db-wal", "jobs.db-shm"):
        (folder / name).unlink(missing_ok=True)


async def file_replaced(folder: Path) -> None:
    async with Runtime(f"sqlite:///{folder / 'other.db'}"):
        pass
    (folder / "other.db").rename(folder / "jobs.db")


async def file_emptied(folder: Path) -> None:
    with sqlite3.connect(folder / "jobs.db", timeout=10) as connection:
        for table in ("jobs", "meta", "nodes"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()


async def schema_dropped(folder: Path) -> None:
    await postgres.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


async def schema_made_anew(folder: Path) -> None:
    await schema_dropped(folder)
    store = PostgresStore(postgres.url_of(SCHEMA), clock=SystemClock())
    await store.open()
    await store.close()


async def tables_emptied(folder: Path) -> None:
    names = ("jobs", "ready", "due", "running", "done", "failures", "queues", "counts", "nodes", "meta")
    await postgres.execute("TRUNCATE " + ", ".join(f"{SCHEMA}.{name}" for name in names))


async def restored_from_a_dump(folder: Path) -> None:
    """The old row in a new table, as pg_restore leaves it."""
    await postgres.execute(
        f"CREATE TABLE {SCHEMA}.other (LIKE {SCHEMA}.meta INCLUDING ALL);"
        f"INSERT INTO {SCHEMA}.other SELECT * FROM {SCHEMA}.meta;"
        f"DROP TABLE {SCHEMA}.meta; ALTER TABLE {SCHEMA}.other RENAME TO meta"
    )


WIPES: dict[str, list[Wipe]] = {
    "sqlite": [file_deleted, file_replaced, file_emptied],
    "postgres": [schema_dropped, schema_made_anew, tables_emptied, restored_from_a_dump],
}
CASES = [pytest.param(kind, wipe, id=f"{kind}-{wipe.__name__}") for kind, wipes in WIPES.items() for wipe in wipes]


@pytest.fixture
async def url_of_kind(kind: str, tmp_path: Path) -> AsyncIterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    yield postgres.url_of(SCHEMA)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.mark.parametrize(("kind", "wipe"), CASES)
async def test_a_node_stops_and_says_so_within_a_renewal(
    kind: str, wipe: Wipe, url_of_kind: str, tmp_path: Path
) -> None:
    async with staged(tmp_path, url_of_kind) as stage:
        node = stage.node("default=3")
        for _ in range(5):
            await stage.enqueue("work", 600)
        await stage.begun(3)

        await wipe(tmp_path)

        await eventually(lambda: "storage_reset: " in node.text(), within_s=RENEWAL_S + SLACK_S)
        await eventually(lambda: len(stage.records("interrupted")) == 3)
        assert node.exit_code is None
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
        assert node.text().count("storage_reset: ") == 1
        assert "Traceback" not in node.text()
        assert len(stage.records("start")) == 3


@pytest.fixture
async def wiped(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on PostgreSQL whose schema was made anew under a working node, which has noticed."""
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    async with staged(tmp_path, postgres.url_of(SCHEMA)) as stage:
        node = stage.node("default=3")
        await stage.enqueue("work", 600)
        await stage.begun(1)
        await schema_made_anew(tmp_path)
        await eventually(lambda: "storage_reset: " in node.text())
        yield stage
    await postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


async def test_a_node_claims_nothing_from_the_new_store_until_it_is_started_anew(wiped: Stage) -> None:
    [former] = wiped.pool.procs
    fresh = await wiped.enqueue("ends_well")
    another = wiped.node("default=3")

    assert await fresh.result(timeout=20) == 1

    assert [record.pid for record in wiped.records("start", job=fresh)] == [another.pid]
    assert former.exit_code is None


async def test_doctor_tells_of_a_node_whose_store_was_reset(wiped: Stage) -> None:
    [former] = wiped.pool.procs

    async def told() -> bool:
        return (await wiped.report(former.pid)).get("storage_reset") is True

    await eventually(told)
