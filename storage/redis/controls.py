"""Control messages in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from ..control import Control, ControlAnswer
from ..ports.controls import ControlStore
from ..role import name_bytes, name_of
from . import rows
from .connection import Script, Server

_PAGE = 1000  # requests that one script removes

_SEND = Script("lua/controls/send.lua")
_TAKE = Script("lua/controls/take.lua")
_ANSWER = Script("lua/controls/answer.lua")
_PRUNE = Script("lua/controls/prune.lua")


class RedisControls(ControlStore):
    """The port of control messages over a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def send(self, controls: Sequence[Control]) -> None:
        batch: list[Any] = []
        for id, boot_id, verb, body, asked_at in controls:
            kept = rows.packed((boot_id, name_bytes(verb), body, asked_at))
            batch += (id, boot_id, str(asked_at), kept)
        await self._server.call(_SEND, rows.packed(batch))

    async def take(self, boot_id: bytes, *, limit: int) -> list[Control]:
        if limit <= 0:
            return []
        ids, kept = await self._server.call(_TAKE, rows.packed((boot_id, limit)))
        return [_control_of(id, raw) for id, raw in zip(ids, kept, strict=True)]

    async def answer(self, answers: Sequence[ControlAnswer]) -> None:
        batch: list[Any] = []
        for answer in answers:
            batch += answer
        await self._server.call(_ANSWER, rows.packed(batch))

    async def answers(self, ids: Sequence[bytes]) -> list[ControlAnswer | None]:
        if not ids:
            return []
        bodies = await self._server.command("HMGET", self._server.keys.answers, *ids)
        return [None if body is None else ControlAnswer(id, body) for id, body in zip(ids, bodies, strict=True)]

    async def prune(self, *, asked_before: int) -> int:
        removed = 0
        while True:
            count: int = await self._server.call(_PRUNE, rows.packed((str(asked_before), _PAGE)))
            removed += count
            if count < _PAGE:
                return removed


def _control_of(id: bytes, kept: bytes) -> Control:
    boot_id, verb, body, asked_at = msgpack.unpackb(kept, raw=True)
    return Control(id, boot_id, name_of(verb), body, asked_at)
