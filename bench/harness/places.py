"""The stores that a bench can be run on, by the name that `--store` takes. A further store is a class and a line here.

`Place.audit` makes the store itself note every accepted terminal write, by means of the database and not of Callboard.
"""

from __future__ import annotations

import atexit
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from callboard import JobState, Runtime
from callboard.storage.ids import format_id
from callboard.storage.job import TERMINAL, Job
from callboard.storage.records import JobFilter
from callboard.storage.redis.rows import HEAD

sys.path.append(str(Path(__file__).resolve().parents[2]))  # run as a script, a bench does not find tests/

from tests.support.servers import redis as redis_server

PAGE = 1000


class Place(ABC):
    """One fresh store below a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def url(self) -> str:
        """What nodes are given as the store."""

    @abstractmethod
    def audit(self) -> None:
        """From now on note each terminal write that takes effect; the store has been opened once."""

    @abstractmethod
    def accepted(self) -> list[tuple[str, int]]:
        """Each terminal write that took effect: job id, and the claim token under which it was written."""


class SqlitePlace(Place):
    """A file."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    def audit(self) -> None:
        ends = ", ".join(str(state.code) for state in sorted(TERMINAL))
        with closing(sqlite3.connect(self._file)) as connection:
            connection.executescript(
                f"""
                CREATE TABLE audit_ends (job_id BLOB NOT NULL, claim_token INTEGER NOT NULL);
                CREATE TRIGGER audit_ends AFTER UPDATE OF state ON jobs WHEN new.state IN ({ends})
                BEGIN INSERT INTO audit_ends VALUES (new.id, new.claim_token); END;
                """
            )

    def accepted(self) -> list[tuple[str, int]]:
        with closing(sqlite3.connect(self._file)) as connection:
            rows = connection.execute("SELECT job_id, claim_token FROM audit_ends").fetchall()
        return [(format_id(job_id), claim_token) for job_id, claim_token in rows]

    @property
    def _file(self) -> Path:
        return self.folder / "jobs.db"


class RedisPlace(Place):
    """A private server, ended with this process. Its append-only file is the audit: it holds every write in order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        path = redis_server.binary()
        if path is None:
            raise SystemExit(f"bench: {redis_server.missing()}")
        self.server = redis_server.RedisServer(path, "--auto-aof-rewrite-percentage", "0")
        self.server.start()
        atexit.register(self.server.remove)

    @property
    def url(self) -> str:
        return f"{self.server.at.url}?namespace=bench"

    def audit(self) -> None:
        """The file is written from the start."""

    def accepted(self) -> list[tuple[str, int]]:
        ends = {state.code for state in TERMINAL}
        found: list[tuple[str, int]] = []
        for file in sorted(self.server.folder.rglob("*.aof")):
            for words in _commands(file.read_bytes()):
                if words[:2] == [b"HSET", b"{bench}:head"]:
                    heads = zip(words[2::2], words[3::2], strict=True)
                    found += [(format_id(job_id), HEAD.unpack_from(raw)[5]) for job_id, raw in heads if raw[0] in ends]
        return found


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


PLACES: dict[str, type[Place]] = {"sqlite": SqlitePlace, "redis": RedisPlace}


async def stored_jobs(runtime: Runtime) -> list[Job]:
    """Every job of the store, through the port, in no particular order."""
    found: list[Job] = []
    before: bytes | None = None
    while page := await runtime.node.store.jobs.select(JobFilter(), limit=PAGE, before=before):
        found += page
        before = page[-1].id
    return found


async def unfinished(runtime: Runtime) -> int:
    """How many jobs are not terminal yet, by the store's counters."""
    counts = await runtime.counts()
    return sum(count for state, count in counts.items() if JobState(state) not in TERMINAL)
