"""The port of queues on SQLite."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Mapping, Sequence

from ..job import JobState
from ..ports.queues import QueueStore
from ..records import QueueRow
from ..statements import load
from .reader import Reader
from .rows import STATES
from .transaction import Transaction
from .writer import Writer

_COUNTS = load(__package__, "sql/queues/counts.sql")
_LIST = load(__package__, "sql/queues/list.sql")
_OLDEST = load(__package__, "sql/queues/oldest.sql")
_SWITCH = load(__package__, "sql/queues/switch.sql")


class SqliteQueues(QueueStore):
    """Queues in a file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def counts(self, queue: str | None = None) -> Mapping[JobState, int]:
        counts = dict.fromkeys(STATES, 0)
        for code, count in await self._reader.all(_COUNTS, {"queue": queue}):
            counts[STATES[code]] = count
        return counts

    async def list(self) -> list_of[QueueRow]:
        paused: dict[str, bool] = {}
        counts: dict[str, dict[JobState, int]] = {}
        for name, is_paused, code, count in await self._reader.all(_LIST):
            paused[name] = bool(is_paused)
            by_state = counts.setdefault(name, dict.fromkeys(STATES, 0))
            if code is not None:
                by_state[STATES[code]] = count
        oldest: dict[str, int | None] = {row[0]: row[1] for row in await self._reader.all(_OLDEST)}
        return [QueueRow(name, paused[name], counts[name], oldest.get(name)) for name in counts]

    async def pause(self, queues: Sequence[str]) -> None:
        await self._writer.submit(_pause, queues, rows=len(queues))

    async def resume(self, queues: Sequence[str]) -> None:
        await self._writer.submit(_resume, queues, rows=len(queues))


def _pause(tx: Transaction, calls: Sequence[Sequence[str]]) -> list[None]:
    for queues in calls:
        for queue in queues:
            tx.make_queue(queue)
            tx.write(_SWITCH, (1, queue))
    return [None] * len(calls)


def _resume(tx: Transaction, calls: Sequence[Sequence[str]]) -> list[None]:
    for queues in calls:
        for queue in queues:
            tx.write(_SWITCH, (0, queue))
    return [None] * len(calls)
