"""What operators' commands share: the store they mean, opened for as long as the command takes."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .failures import WrongUse, one_line
from .options import read_seconds

if TYPE_CHECKING:
    from ...storage.job import Job
    from ...storage.ports.store import Store
    from ...storage.records import JobFilter

T = TypeVar("T")
PAGE = 500  # jobs read or changed at once: one short transaction


def run(command: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on a loop of its own."""
    import asyncio

    return asyncio.run(command)


@dataclass(frozen=True, slots=True)
class Place:
    """The store that a command means: its `--store`, else CALLBOARD_STORE, else the default."""

    option: str | None
    wait_s: float  # how long a server that is not there yet is waited for

    @property
    def url(self) -> str:
        """Whole, with a password if there is one."""
        from ...storage.urls import DEFAULT_STORE

        return self.option or os.environ.get("CALLBOARD_STORE") or DEFAULT_STORE

    @property
    def shown(self) -> str:
        """As it may be printed: without a password."""
        from ...storage.shown import without_password

        return without_password(self.url)

    @property
    def is_default(self) -> bool:
        """Whether nobody named a store, so that it may be another one than the runtime's own."""
        return not (self.option or os.environ.get("CALLBOARD_STORE"))


def place(store: str | None, wait: str) -> Place:
    """From the options `--store` and `--wait`. Raises `InvalidDuration`."""
    return Place(store, read_seconds(wait, "--wait"))


def store_at(place: Place) -> Store:
    """The store, not opened. Raises `InvalidStore`."""
    from ...kernel.clock import SystemClock
    from ...storage.urls import store_of
    from ..settings import load_settings

    return store_of(place.url, clock=SystemClock(), disk_reserve_bytes=load_settings().disk_reserve_bytes)


@asynccontextmanager
async def opened(place: Place, *, makes_file: bool = False) -> AsyncIterator[Store]:
    """The store, open. Without `makes_file` one that is not there is refused: a mistyped path leaves no file.

    A schema on a server is never made or changed here, see `migrate.py`. Raises `WrongUse`, and what the store raises.
    """
    from ...storage.errors import MigrationNeeded

    store = store_at(place)
    if not store.is_shared:
        raise WrongUse(
            f"{place.shown} is seen by its own process alone; name the nodes' store by --store or CALLBOARD_STORE"
        )
    try:
        await open_patiently(store, place, migrate=makes_file and store.is_embedded)
    except MigrationNeeded as exc:
        raise WrongUse(str(exc)) from None
    try:
        yield store
    finally:
        await store.close()


async def open_patiently(store: Store, place: Place, *, migrate: bool) -> None:
    """Open the store, waiting for its server as long as the place says, with one line on stderr."""
    from ..patience import patiently

    await patiently(lambda: store.open(migrate=migrate), wait_s=place.wait_s, tell=tell)


def tell(line: str) -> None:
    """A line for the person at the terminal, while a command goes on."""
    print(f"callboard: {one_line(line)}", file=sys.stderr, flush=True)


async def pages(store: Store, wanted: JobFilter) -> AsyncIterator[list[Job]]:
    """All matching jobs, newest first, a page at a time. Changing the jobs of a page does not disturb the next."""
    before: bytes | None = None
    while page := await store.jobs.select(wanted, limit=PAGE, before=before):
        yield page
        before = page[-1].id


def now_ms(store: Store) -> int:
    """Now, as the rows of that store, which is open, keep it."""
    return store.wall_ms()
