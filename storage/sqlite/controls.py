"""The port of control messages on SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from ..control import Control, ControlAnswer
from ..ports.controls import ControlStore
from ..role import name_bytes, name_of
from ..statements import load
from .reader import Reader
from .transaction import Transaction
from .writer import Writer

_SEND = load(__package__, "sql/controls/send.sql")
_TAKE = load(__package__, "sql/controls/take.sql")
_ANSWER = load(__package__, "sql/controls/answer.sql")
_ANSWERS = load(__package__, "sql/controls/answers.sql")
_PRUNE = load(__package__, "sql/controls/prune.sql")


class SqliteControls(ControlStore):
    """Requests to nodes in a file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def send(self, controls: Sequence[Control]) -> None:
        await self._writer.submit(_send, controls, rows=len(controls))

    async def take(self, boot_id: bytes, *, limit: int) -> list[Control]:
        rows = await self._reader.all(_TAKE, (boot_id, max(limit, 0)))
        return [Control(id, node, name_of(verb), body, asked_at) for id, node, verb, body, asked_at in rows]

    async def answer(self, answers: Sequence[ControlAnswer]) -> None:
        await self._writer.submit(_answer, answers, rows=len(answers))

    async def answers(self, ids: Sequence[bytes]) -> list[ControlAnswer | None]:
        found = {id: ControlAnswer(id, body) for id, body in await self._reader.rows(_ANSWERS, ids)}
        return [found.get(id) for id in ids]

    async def prune(self, *, asked_before: int) -> int:
        return await self._writer.submit(_prune, asked_before, rows=1)


def _send(tx: Transaction, calls: Sequence[Sequence[Control]]) -> list[None]:
    for controls in calls:
        for one in controls:
            tx.write(_SEND, (one.id, one.boot_id, one.asked_at, name_bytes(one.verb), one.body))
    return [None] * len(calls)


def _answer(tx: Transaction, calls: Sequence[Sequence[ControlAnswer]]) -> list[None]:
    for answers in calls:
        for one in answers:
            tx.write(_ANSWER, (one.body, one.id))
    return [None] * len(calls)


def _prune(tx: Transaction, calls: Sequence[int]) -> list[int]:
    return [tx.write(_PRUNE, (asked_before,)) for asked_before in calls]
