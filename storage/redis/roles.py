"""Roles in Redis.

On a connection of its own, made when it is first needed, so that no call waits for one that other work has taken. The
server runs one script at a time; a call waits for the one that runs.
"""

from __future__ import annotations

import asyncio
from builtins import list as list_of
from collections.abc import Sequence
from typing import Any

from ..errors import Unavailable
from ..ports.roles import RoleStore
from ..role import RoleRow, Term, name_bytes, name_of
from . import rows
from .connection import Script, Server

_LEAST_TIMEOUT_S = 1.0
_YES = ord("1")
_CAMPAIGN = Script("lua/roles/campaign.lua")
_RENEW = Script("lua/roles/renew.lua")
_LIST = Script("lua/roles/list.lua")


class RedisRoles(RoleStore):
    """The port of roles over a server."""

    def __init__(self, opened: Server) -> None:
        self._opened = opened
        self._server: Server | None = None

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        if not roles:
            return []
        batch: list_of[Any] = [lease_ms, holder, *map(name_bytes, roles)]
        found = await self._call(_CAMPAIGN, batch, lease_ms)
        return [_row_of(role, *stands) for role, stands in zip(roles, found, strict=True)]

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        return await self._write(terms, lease_ms)

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        return await self._write(terms, 0)

    async def list(self) -> list_of[RoleRow]:
        found = sorted(await self._opened.call(_LIST, rows.packed([])))
        return [_row_of(name_of(name), *stands) for name, *stands in found]

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    async def _write(self, terms: Sequence[Term], lease_ms: int) -> list_of[bool]:
        if not terms:
            return []
        batch: list_of[Any] = [lease_ms]
        for role, holder, number in terms:
            batch += (name_bytes(role), holder, number)
        return [letter == _YES for letter in await self._call(_RENEW, batch, lease_ms)]

    async def _call(self, script: Script, batch: list_of[Any], lease_ms: int) -> Any:
        if not self._opened.is_open:
            raise Unavailable(f"{self._opened.address} is not open")
        server = self._server
        if server is None:
            # A silent connection must be given up while there is time to renew over another one.
            timeout_s = min(self._opened.timeout_s, max(lease_ms / 4000, _LEAST_TIMEOUT_S))
            server = self._server = Server(self._opened.address, timeout_s=timeout_s)
            server.open()
        server.store_id = self._opened.store_id
        try:
            # For all of it: waiting for the call before, connecting, and the answer.
            async with asyncio.timeout(server.timeout_s):
                return await server.call(script, rows.packed(batch))
        except TimeoutError as error:
            raise Unavailable(f"{server.address}: no answer within {server.timeout_s:.1f} s") from error


def _row_of(role: str, number: int, holder: bytes, left_ms: int) -> RoleRow:
    return RoleRow(role, holder, number, left_ms) if left_ms > 0 else RoleRow(role, None, number, 0)
