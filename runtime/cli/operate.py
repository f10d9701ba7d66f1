"""What operators' commands share: the store they mean, opened for as long as the command takes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .failures import WrongUse

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


def store_url(option: str | None) -> str:
    """The store that a command means: its `--store`, else CALLBOARD_STORE, else the default."""
    from ...storage.urls import DEFAULT_STORE

    return option or os.environ.get("CALLBOARD_STORE") or DEFAULT_STORE


def is_default(option: str | None) -> bool:
    """Whether nobody named a store, so that it may be another one than the runtime's own."""
    return not (option or os.environ.get("CALLBOARD_STORE"))


def shown_url(option: str | None) -> str:
    """The store that a command means, as it may be printed: without a password."""
    from ...storage.urls import without_password

    return without_password(store_url(option))


@asynccontextmanager
async def opened(option: str | None, *, migrate: bool = False) -> AsyncIterator[Store]:
    """The store, open. Without `migrate` one that is not there is refused, not made: a mistyped path leaves no file."""
    from ...kernel.clock import SystemClock
    from ...storage.errors import MigrationNeeded
    from ...storage.urls import store_of
    from ..settings import load_settings

    store = store_of(store_url(option), clock=SystemClock(), disk_reserve_bytes=load_settings().disk_reserve_bytes)
    if not store.is_shared:
        raise WrongUse(
            f"{store_url(option)} is seen by its own process alone; name the nodes' store by --store or CALLBOARD_STORE"
        )
    try:
        await store.open(migrate=migrate)
    except MigrationNeeded as exc:
        raise WrongUse(str(exc)) from None
    try:
        yield store
    finally:
        await store.close()


async def pages(store: Store, wanted: JobFilter) -> AsyncIterator[list[Job]]:
    """All matching jobs, newest first, a page at a time. Changing the jobs of a page does not disturb the next."""
    before: bytes | None = None
    while page := await store.jobs.select(wanted, limit=PAGE, before=before):
        yield page
        before = page[-1].id


def now_ms() -> int:
    """The wall clock, as rows keep it."""
    from ...kernel.clock import SystemClock

    return SystemClock().wall_ms()
