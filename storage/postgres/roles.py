"""The port of roles on PostgreSQL, on a connection of its own that is made when it is first needed.

Who holds that connection waits for nobody's locks: renewing and resigning change no key of a role's row, so no fence is
in their way, and a campaign passes over a row that is locked and looks again a little later. So a renewal never stands
behind a campaign for a role whose last fenced write is still being committed.
"""

from __future__ import annotations

import asyncio
from builtins import list as list_of
from collections.abc import Sequence

from ...kernel.clock import SystemClock
from ..errors import StorageReset, Unavailable
from ..ports.roles import RoleStore
from ..role import RoleRow, Term, name_bytes, name_of
from .lane import TIMEOUT_S, Lane, Row
from .lanes import Lanes
from .rows import columns

_Key = tuple[bytes, bytes, int]  # a term as its row has it
_LEAST_S = 1.0
_PAUSES_S = (0.002, 0.05)  # the first, the longest


class PostgresRoles(RoleStore):
    """Roles in a database."""

    def __init__(self, lanes: Lanes) -> None:
        self._lane: Lane = lanes.roles
        self._timeout_s = TIMEOUT_S

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        self._hurry(lease_ms)
        clock = SystemClock()
        give_up_at = clock.monotonic() + self._timeout_s
        left = {name_bytes(role) for role in roles}
        found: dict[bytes, RoleRow] = {}
        pause_s, longest_s = _PAUSES_S
        while left:
            rows = await self._fetch("roles/campaign", sorted(left), holder, lease_ms)
            found |= {row["name"]: _row_of(row) for row in rows}
            left -= found.keys()
            if left:
                if clock.monotonic() > give_up_at:
                    raise Unavailable(
                        f"{self._lane.server.shown}: the last term of {len(left)} roles is over, but what was written"
                        f" because of it is not committed after {self._timeout_s:.1f} s"
                    )
                await clock.sleep(pause_s * self._lane.server.rng.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, longest_s)
        return [found[name_bytes(role)] for role in roles]

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        self._hurry(lease_ms)
        renewed = await self._write("roles/renew", terms, lease_ms)
        return [_key_of(term) in renewed for term in terms]

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        ended = await self._write("roles/resign", terms)
        answers: list_of[bool] = []
        for key in map(_key_of, terms):
            answers.append(key in ended)
            ended.discard(key)  # named twice: the second was over before
        return answers

    async def list(self) -> list_of[RoleRow]:
        return [_row_of(row) for row in await self._answered("roles/list")]

    def _hurry(self, lease_ms: int) -> None:
        """A silent connection must be given up while there is time to renew over another one."""
        self._timeout_s = min(TIMEOUT_S, max(lease_ms / 4000, _LEAST_S))

    async def _write(self, name: str, terms: Sequence[Term], *values: object) -> set[_Key]:
        """The terms that ran."""
        keys = sorted(set(map(_key_of, terms)))
        rows = await self._fetch(name, *columns(keys, 3), *values)
        return {(row["name"], row["holder"], row["number"]) for row in rows}

    async def _fetch(self, name: str, *values: object) -> list_of[Row]:
        """What a statement did, in this store alone."""
        rows = await self._answered(name, *values)
        if not rows or rows[0]["store_id"] != self._lane.server.store_id:
            raise StorageReset(f"{self._lane.server.shown} was emptied or replaced")
        return [row for row in rows if row["name"] is not None]

    async def _answered(self, name: str, *values: object) -> list_of[Row]:
        """The rows that a statement gives, connecting and waiting for the call before included."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._lane.fetch(name, *values, timeout_s=self._timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"{self._lane.server.shown}: no answer within {self._timeout_s:.1f} s") from error


def _key_of(term: Term) -> _Key:
    return name_bytes(term.role), term.holder, term.number


def _row_of(row: Row) -> RoleRow:
    name = name_of(row["name"])
    if row["left_ms"] <= 0:
        return RoleRow(name, None, row["number"], 0)
    return RoleRow(name, row["holder"], row["number"], row["left_ms"])
