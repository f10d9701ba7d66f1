"""The kinds of store that the contract suite and the model run on.

A new kind is a `Place` of its own and a line in `PLACES`; no test changes. Tests let time pass by `Place.pass_time`
only, since a store may keep its leases by a server's clock, which no test can move.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from callboard.kernel.clock import Clock, ManualClock
from callboard.storage.memory.driver import MemoryStore
from callboard.storage.ports.store import Store
from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.redis.address import Address
from callboard.storage.redis.driver import RedisStore
from callboard.storage.redis.rows import ROLE
from callboard.storage.sqlite.driver import SqliteStore
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server


class Place(ABC):
    """Where one test keeps one store, empty at first."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock

    @staticmethod
    def missing() -> str | None:
        """Why this kind cannot run here, or None."""
        return None

    @classmethod
    @asynccontextmanager
    async def made(cls, path: Path, clock: Clock) -> AsyncIterator[Self]:
        """A place for one test, taken away when the last handle was closed."""
        yield cls(path, clock)

    @abstractmethod
    def handle(self) -> Store:
        """A handle, not opened yet; a further one is what another node would hold on the same jobs."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, wall and leases alike. A store that keeps leases by a server's clock dates them back."""
        assert isinstance(self.clock, ManualClock), "the system's time passes by itself"
        self.clock.advance(seconds)


class MemoryPlace(Place):
    """Memory. All handles come from the first one."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, clock)
        self._first = MemoryStore(clock=clock)

    def handle(self) -> Store:
        return self._first.another()


class SqlitePlace(Place):
    """A file; each handle has its own connections and thread."""

    def handle(self) -> Store:
        return SqliteStore(self.path / "jobs.db", clock=self.clock)


class PostgresPlace(Place):
    """A schema of the run's server. Schemas are emptied and used again: making one costs more than most tests."""

    _free: ClassVar[list[str]] = []
    _made: ClassVar[int] = 0

    def __init__(self, path: Path, clock: Clock, schema: str) -> None:
        super().__init__(path, clock)
        self.schema = schema
        self.url = postgres.url_of(schema)

    @staticmethod
    def missing() -> str | None:
        return postgres.missing()

    @classmethod
    @asynccontextmanager
    async def made(cls, path: Path, clock: Clock) -> AsyncIterator[Self]:
        if cls._free:
            schema = cls._free.pop()
        else:
            cls._made += 1
            schema = f"test_{os.getpid()}_{cls._made}"
        yield cls(path, clock, schema)
        await postgres.empty(schema)
        cls._free.append(schema)

    def handle(self) -> Store:
        return PostgresStore(self.url, clock=self.clock)

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        for table in ("running", "roles"):
            await postgres.execute(
                f"UPDATE {self.schema}.{table} SET lease_until = lease_until - {int(seconds * 1000)}"
            )


class RedisPlace(Place):
    """A namespace of its own on the run's server, whose clock keeps the leases."""

    _numbers = itertools.count(1)

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, clock)
        self.server = redis_server.shared()
        self.namespace = f"test_{os.getpid()}_{next(self._numbers)}"

    @staticmethod
    def missing() -> str | None:
        return redis_server.missing()

    @classmethod
    @asynccontextmanager
    async def made(cls, path: Path, clock: Clock) -> AsyncIterator[Self]:
        place = cls(path, clock)
        yield place
        with place.server.client() as client:
            keys = list(client.scan_iter(f"{{{place.namespace}}}:*", count=1000))
            if keys:
                client.unlink(*keys)

    def handle(self) -> Store:
        address = Address(self.server.host, self.server.port, namespace=self.namespace)
        return RedisStore(address, clock=self.clock)

    async def pass_time(self, seconds: float) -> None:
        await super().pass_time(seconds)
        with self.server.client() as client:
            for key in client.scan_iter(f"{{{self.namespace}}}:lease:*", count=1000):
                with client.pipeline(transaction=False) as back:
                    for member in client.execute_command("ZRANGE", key, 0, -1) or ():
                        back.execute_command("ZINCRBY", key, -seconds * 1000, member)
                    back.execute()
            roles = f"{{{self.namespace}}}:roles"
            found: Any = client.hgetall(roles)
            for role, raw in found.items():
                number, lease_until, holder = ROLE.unpack(raw)
                client.hset(roles, role, ROLE.pack(number, lease_until - int(seconds * 1000), holder))


PLACES: dict[str, type[Place]] = {"memory": MemoryPlace, "sqlite": SqlitePlace}
PLACES["postgres"] = PostgresPlace
PLACES["redis"] = RedisPlace
