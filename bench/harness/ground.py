"""Where a bench's stores are: a folder, or a private server with durable settings, and what that uses of CPU."""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis.asyncio as aio

sys.path.append(str(Path(__file__).resolve().parents[2]))  # run as a script, a bench does not find tests/

from tests.support.servers import postgres, redis


class Ground(ABC):
    """Fresh stores of one kind by name."""

    pid: int | None = None  # of the server, if it is ours

    @abstractmethod
    def url(self, name: str) -> str:
        """The store of that name, empty when first asked for."""

    @abstractmethod
    async def drop(self, name: str) -> None:
        """Remove that store, so that what follows does not carry it along."""

    def server_s(self) -> float:
        """CPU seconds of the server so far, all its processes, also those that have ended; 0 without one."""
        if self.pid is None:
            return 0.0
        total = 0.0
        server = psutil.Process(self.pid)
        for process in (server, *server.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def server_us(self, since_s: float, jobs: int) -> float | None:
        """CPU us a job of the server since it had used that many seconds."""
        return None if self.pid is None else (self.server_s() - since_s) / jobs * 1e6


class Files(Ground):
    """SQLite files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        return f"sqlite:///{self._folder / name}.db"

    async def drop(self, name: str) -> None:
        for file in self._folder.glob(f"{name}.db*"):
            if file.is_file():
                file.unlink()


class Postgres(Ground):
    """Schemas on this run's server: fsync and synchronous_commit on."""

    def __init__(self) -> None:
        self.server_url = postgres.url()
        if postgres.is_private():
            folder = Path(self.server_url.partition("host=")[2].partition("&")[0])
            self.pid = int((folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def url(self, name: str) -> str:
        return postgres.url_of(f"bench_{name}")

    async def drop(self, name: str) -> None:
        await postgres.execute(f"DROP SCHEMA IF EXISTS bench_{name} CASCADE")


class Redis(Ground):
    """Namespaces on a server."""

    def __init__(self, server: redis.RedisServer) -> None:
        assert server.process is not None
        self.server_url = server.at.url
        self.pid = server.process.pid

    def url(self, name: str) -> str:
        return f"{self.server_url}?namespace={name}"

    async def drop(self, name: str) -> None:
        async with aio.Redis.from_url(self.server_url) as client:
            async for key in client.scan_iter(f"{{{name}}}:*", count=1000):
                await client.unlink(key)
            while _is_busy(await client.info()):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.05)


def _is_busy(info: Mapping[str, Any]) -> bool:
    """Whether the server still frees what was removed, or writes its file anew."""
    return bool(info.get("lazyfree_pending_objects") or info.get("aof_rewrite_in_progress"))


@contextmanager
def redis_ground(*, appends: bool = True) -> Iterator[Redis]:
    """A private Redis server, ended afterwards; it appends to a file, synced every second, or keeps nothing."""
    path = redis.binary()
    if path is None:
        raise SystemExit(f"bench: {redis.missing()}")
    server = redis.RedisServer(path, "--appendfsync", "everysec", "--appendonly", "yes" if appends else "no")
    server.start()
    try:
        yield Redis(server)
    finally:
        server.remove()


def postgres_ground() -> Postgres:
    """A private PostgreSQL server, which ends with this process; or the one that CALLBOARD_TEST_POSTGRES names."""
    if (why := postgres.missing()) is not None:
        raise SystemExit(f"bench: {why}")
    return Postgres()
