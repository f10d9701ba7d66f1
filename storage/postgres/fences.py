"""Writes because of a role: they take effect only while its term runs, and commit before the next one is granted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import StorageReset, TermOver
from ..role import Term, name_bytes
from .lane import Connection, Lane

T = TypeVar("T")


async def run_fenced(
    lane: Lane, fence: Term | None, work: Callable[[Connection], Awaitable[T]], *, is_new_work: bool = False
) -> T:
    """What `work` gives, in one transaction with the check of the term if there is one. Raises `TermOver`."""
    if fence is None:
        return await lane.run(work, is_new_work=is_new_work)
    server, text = lane.server, lane.server.text("roles/fence")

    async def fenced(connection: Connection) -> T:
        async with connection.transaction(isolation="read_committed"):
            row = await connection.fetchrow(text, name_bytes(fence.role), fence.holder, fence.number)
            if row is None or row["store_id"] != server.store_id:
                raise StorageReset(f"{server.shown} was emptied or replaced")
            if not row["runs"]:
                raise TermOver(fence)
            return await work(connection)

    return await lane.run(fenced, is_new_work=is_new_work)
