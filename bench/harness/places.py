"""The stores that a bench can be run on, by the name that `--store` takes. A further store is a class and a line here.

`Place.audit` makes the store itself note every accepted terminal write, by means of the database and not of Callboard.
"""

from __future__ import annotations

import asyncio
import atexit
import signal
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import asyncpg

from callboard import JobState, Runtime
from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import decode
from callboard.storage.ids import format_id
from callboard.storage.job import TERMINAL, Job
from callboard.storage.records import JobFilter
from callboard.storage.redis.rows import HEAD
from callboard.storage.urls import store_of

from .verdict import Row

sys.path.append(str(Path(__file__).resolve().parents[2]))  # run as a script, a bench does not find tests/

from tests.support.fault_proxy import Endpoint
from tests.support.servers import postgres as postgres_server
from tests.support.servers import redis as redis_server

PAGE = 1000
CRASHES = (signal.SIGKILL, signal.SIGQUIT)  # of a server: at once, and at once with its children told


class Place(ABC):
    """One fresh store below a folder of its own."""

    faults = frozenset({"kill", "stop"})  # that a storm can inflict here

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def url(self) -> str:
        """What nodes are given as the store."""

    async def prepare(self) -> None:
        """Make the store's schema, and `audit`."""
        store = store_of(self.url, clock=SystemClock(), disk_reserve_bytes=0)
        await store.open(migrate=True)
        await store.close()
        await self.audit()

    @abstractmethod
    async def audit(self) -> None:
        """From now on note each terminal write that takes effect; the store has been opened once."""

    @abstractmethod
    async def accepted(self) -> list[tuple[str, int]]:
        """Each terminal write that took effect: job id, and the claim token under which it was written."""


class SqlitePlace(Place):
    """A file."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    async def audit(self) -> None:
        ends = ", ".join(str(state.code) for state in sorted(TERMINAL))
        with closing(sqlite3.connect(self._file)) as connection:
            connection.executescript(
                f"""
                CREATE TABLE audit_ends (job_id BLOB NOT NULL, claim_token INTEGER NOT NULL);
                CREATE TRIGGER audit_ends AFTER UPDATE OF state ON jobs WHEN new.state IN ({ends})
                BEGIN INSERT INTO audit_ends VALUES (new.id, new.claim_token); END;
                """
            )

    async def accepted(self) -> list[tuple[str, int]]:
        with closing(sqlite3.connect(self._file)) as connection:
            rows = connection.execute("SELECT job_id, claim_token FROM audit_ends").fetchall()
        return [(format_id(job_id), claim_token) for job_id, claim_token in rows]

    @property
    def _file(self) -> Path:
        return self.folder / "jobs.db"


class ServerPlace(Place):
    """A private server, ended with this process."""

    faults = frozenset({"kill", "stop", "cut", "dropreply", "restart"})

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # One thread for the server's whole life: some die with the thread that started them.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="server")
        self._keeper.submit(self._start).result()
        atexit.register(self._remove)

    @property
    @abstractmethod
    def upstream(self) -> Endpoint:
        """Where the server listens."""

    @abstractmethod
    def url_by(self, at: Endpoint) -> str:
        """The store by way of a proxy there."""

    async def crash(self, number: signal.Signals) -> None:
        """Kill the server."""
        await self._keep(lambda: self._crash(number))

    async def start_again(self) -> None:
        """Start it on what it has written; returns when it answers."""
        await self._keep(self._start_again)

    async def _keep(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._keeper, call)

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _crash(self, number: signal.Signals) -> None: ...

    @abstractmethod
    def _start_again(self) -> None: ...

    @abstractmethod
    def _remove(self) -> None: ...


class PostgresPlace(ServerPlace):
    """PostgreSQL. A trigger on the table of ended jobs notes each row that comes into it."""

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def upstream(self) -> Endpoint:
        return self._server.socket

    def url_by(self, at: Endpoint) -> str:
        assert isinstance(at, tuple)
        return f"postgresql://postgres@{at[0]}:{at[1]}/postgres?sslmode=disable"

    async def audit(self) -> None:
        await self._execute(
            """
            CREATE TABLE public.audit_ends (job_id uuid NOT NULL, claim_token bigint NOT NULL);
            CREATE FUNCTION public.audit_ends() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO public.audit_ends VALUES (new.id, new.claim_token); RETURN NULL; END $$;
            CREATE TRIGGER audit_ends AFTER INSERT OR UPDATE ON callboard.done
            FOR EACH ROW EXECUTE FUNCTION public.audit_ends();
            """
        )

    async def accepted(self) -> list[tuple[str, int]]:
        rows = await self.fetch("SELECT job_id, claim_token FROM public.audit_ends")
        return [(format_id(row["job_id"].bytes), row["claim_token"]) for row in rows]

    async def fetch(self, statement: str) -> list[asyncpg.Record]:
        """The rows of one statement, on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def _execute(self, statements: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    def _start(self) -> None:
        if (reason := postgres_server.missing()) is not None:
            raise SystemExit(f"bench: {reason}")
        self._server = postgres_server.PostgresServer()

    def _crash(self, number: signal.Signals) -> None:
        self._server.kill(number)

    def _start_again(self) -> None:
        self._server.start_again()

    def _remove(self) -> None:
        self._server.stop()


class RedisPlace(ServerPlace):
    """Redis. Its append-only file is the audit: it holds every write in order, over restarts too."""

    @property
    def url(self) -> str:
        return self.url_by((self._server.at.host, self._server.at.port))

    @property
    def upstream(self) -> Endpoint:
        return self._server.at.host, self._server.at.port

    def url_by(self, at: Endpoint) -> str:
        assert isinstance(at, tuple)
        return f"redis://{at[0]}:{at[1]}/0?namespace=bench"

    async def audit(self) -> None:
        """The file is written from the start."""

    async def accepted(self) -> list[tuple[str, int]]:
        ends = {state.code for state in TERMINAL}
        found: list[tuple[str, int]] = []
        for file in sorted(self._server.folder.rglob("*.aof")):
            for words in _commands(file.read_bytes()):
                if words[:2] == [b"HSET", b"{bench}:head"]:
                    heads = zip(words[2::2], words[3::2], strict=True)
                    found += [(format_id(job_id), HEAD.unpack_from(raw)[1]) for job_id, raw in heads if raw[0] in ends]
        return found

    def _start(self) -> None:
        path = redis_server.binary()
        if path is None:
            raise SystemExit(f"bench: {redis_server.missing()}")
        self._server = redis_server.RedisServer(path, "--auto-aof-rewrite-percentage", "0")
        self._server.start()

    def _crash(self, number: signal.Signals) -> None:
        self._server.stop(signal.SIGKILL)  # it ignores SIGQUIT where a shell started this in the background

    def _start_again(self) -> None:
        self._server.start()

    def _remove(self) -> None:
        self._server.remove()


def _commands(log: bytes) -> Iterator[list[bytes]]:
    """The commands of an append-only file, each as its words."""
    at = 0
    while at < len(log):
        end = log.index(b"\r\n", at)
        count, at = int(log[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = log.index(b"\r\n", at)
            start = end + 2
            at = start + int(log[at + 1 : end]) + 2
            words.append(log[start : at - 2])
        yield words


PLACES: dict[str, type[Place]] = {"sqlite": SqlitePlace, "postgres": PostgresPlace, "redis": RedisPlace}


async def stored_jobs(runtime: Runtime) -> list[Job]:
    """Every job of the store, through the port, in no particular order."""
    found: list[Job] = []
    before: bytes | None = None
    while page := await runtime.node.store.jobs.select(JobFilter(), limit=PAGE, before=before):
        found += page
        before = page[-1].id
    return found


def row_of(job: Job, runtime: Runtime) -> Row:
    """What a verdict needs of a stored job that was enqueued by a `Producer`."""
    (number,), _ = runtime.jobs[job.name].definition.decode_call(job.payload)
    is_completed = job.state is JobState.COMPLETED
    answer = decode(job.result) if is_completed and job.result is not None else None
    return Row(format_id(job.id), number, job.state.is_terminal, is_completed, job.claim_token, answer)


async def unfinished(runtime: Runtime) -> int:
    """How many jobs are not terminal yet, by the store's counters."""
    counts = await runtime.counts()
    return sum(count for state, count in counts.items() if JobState(state) not in TERMINAL)
