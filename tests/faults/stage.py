"""Where a test of faults happens: a SQLite file, node processes on it, and a client to enqueue and look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from callboard import Handle, JobState, Runtime
from callboard.actors.calls import encode_anonymous
from callboard.kernel.codec import decode
from callboard.runtime.job import Call, Options
from callboard.storage.ids import parse_id
from callboard.storage.job import Job
from harness.processes import Proc, ProcPool
from harness.records import Record, read_records
from tests.support.eventually import eventually

NODE = Path(__file__).parent / "node.py"
LEASE_S = 2.0  # the shortest that a machine with two busy cores keeps without trouble


class Stage:
    """One test's processes and its view of the store."""

    def __init__(self, runtime: Runtime, pool: ProcPool, records: Path) -> None:
        self.runtime = runtime
        self.pool = pool
        self.records_file = records

    def spawn(self, *queues: str, grace_s: float = 20, script: Path = NODE, **env: str) -> Proc:
        """A node process that starts: `spawn("default=10", CALLBOARD_GRACE="2s")`."""
        return self.pool.spawn(script, *(queues or ("default=10",)), CALLBOARD_GRACE=f"{grace_s}s", **env)

    def node(self, *queues: str, grace_s: float = 20, script: Path = NODE, **env: str) -> Proc:
        """A node process that is ready."""
        return self.spawn(*queues, grace_s=grace_s, script=script, **env).wait_ready()

    async def enqueue(self, name: str, *args: object, queue: str = "default") -> Handle[Any]:
        """By name: the client knows no handler."""
        return await self.runtime.enqueue_call(self.call(name, *args, queue=queue))

    def call(self, name: str, *args: object, queue: str = "default") -> Call[Any]:
        """What `enqueue` enqueues."""
        return Call(name, None, Options(queue=queue), encode_anonymous(name, args, {}))

    def records(self, *what: str, job: Handle[Any] | None = None, pid: int | None = None) -> list[Record]:
        """What handlers did so far, in order."""
        return [
            record
            for record in read_records(self.records_file, *what)
            if (job is None or record.job == job.id) and (pid is None or record.pid == pid)
        ]

    async def begun(self, count: int, *, pid: int | None = None, within_s: float = 20) -> list[Record]:
        """The start records, once there are `count` of them (on that process)."""

        def probe() -> list[Record]:
            found = self.records("start", pid=pid)
            return found if len(found) >= count else []

        return await eventually(probe, within_s=within_s)

    async def row(self, handle: Handle[Any]) -> Job:
        """The stored row as it is."""
        row = await self.runtime.stored_job(parse_id(handle.id))
        assert row is not None
        return row

    async def report(self, pid: int) -> dict[str, Any]:
        """What a node last said of itself; empty before it has."""
        for row in await self.runtime.node.store.nodes.list():
            if row.pid == pid and row.report:
                return cast("dict[str, Any]", decode(row.report))
        return {}

    async def assert_all_completed_once(self, handles: list[Handle[Any]]) -> None:
        """Each of them has one start, one effect, and its result."""
        for handle in handles:
            assert (await self.row(handle)).state is JobState.COMPLETED
            assert [record.what for record in self.records(job=handle)] == ["start", "effect"]


@asynccontextmanager
async def staged(folder: Path, url: str | None = None, *, nodes_url: str | None = None) -> AsyncIterator[Stage]:
    """A store, a fresh file unless one is given; nodes may know it by another URL. On leaving, no process is left."""
    url = url or f"sqlite:///{folder / 'jobs.db'}"
    records = folder / "records"
    async with Runtime(url, migrate=True) as runtime:
        with ProcPool(
            folder, CALLBOARD_STORE=nodes_url or url, CALLBOARD_LEASE=f"{LEASE_S}s", NODE_RECORDS=str(records)
        ) as pool:
            try:
                yield Stage(runtime, pool, records)
            except BaseException:
                for proc in pool.procs:
                    print(f"{proc.name}, pid {proc.pid}, exit code {proc.exit_code}:\n{proc.tail()}")
                raise
