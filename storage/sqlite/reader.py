"""The reading side: a connection of its own, through aiosqlite, so that a long list never holds up the writer.

Each read is one statement on one snapshot of the file, taken when it begins; it sees every commit answered before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from threading import Thread
from typing import Any

import aiosqlite

from ..errors import Unavailable
from ..statements import Statement, chunks
from .faults import translate
from .refusals import uri

_BUSY_S = 5.0  # readers wait for nobody, except while a log is being recovered after a crash


class Reader:
    """Runs reading statements, one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Connect."""
        connecting = aiosqlite.connect(
            uri(self._path, "rw"), uri=True, timeout=_BUSY_S, isolation_level=None, cached_statements=64
        )
        # A process that fails before it closes its store must be able to end.
        thread = getattr(connecting, "_thread", connecting)
        if isinstance(thread, Thread):
            thread.daemon = True
        connection = await connecting
        await connection.execute("PRAGMA query_only = ON")
        self._connection = connection

    async def all(
        self, statement: Statement, parameters: Sequence[bytes | str | int | None] | Mapping[str, object] = ()
    ) -> list[Sequence[Any]]:
        """All rows of an answer."""
        return await self._fetch(statement.text, parameters)

    async def rows(self, statement: Statement, ids: Sequence[bytes]) -> list[Sequence[Any]]:
        """All rows of an answer about many ids."""
        found: list[Sequence[Any]] = []
        for start, count in chunks(len(ids)):
            found += await self._fetch(statement.rows(count), ids[start : start + count])
        return found

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.shield(connection.close())

    async def _fetch(self, text: str, parameters: Any) -> list[Sequence[Any]]:
        if self._connection is None:
            raise Unavailable(f"{self._path} is not open")
        try:
            rows: Iterable[Sequence[Any]] = await self._connection.execute_fetchall(text, parameters)
        except Exception as error:
            told = translate(error, self._path)
            if told is error:
                raise
            raise told from error
        return list(rows)
