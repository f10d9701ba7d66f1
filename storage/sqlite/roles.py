"""The port of roles on SQLite: each call goes to the front of what waits for the writer, as a heartbeat does.

The lease clock is the machine's monotonic one. When the machine was started anew all terms are over, whoever opens the
file first (`connection.py`). A fenced write checks its term in its own transaction, which no other can overlap.
"""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Sequence
from typing import NamedTuple, cast

from ..errors import TermOver
from ..ports.roles import RoleStore
from ..role import RoleRow, Term, name_bytes, name_of
from ..statements import load
from .transaction import Transaction, Value
from .writer import Writer

_CAMPAIGN = load(__package__, "sql/roles/campaign.sql")
_STAND = load(__package__, "sql/roles/stand.sql")
_RENEW = load(__package__, "sql/roles/renew.sql")
_LIST = load(__package__, "sql/roles/list.sql")
_Values = dict[str, Value]


class SqliteRoles(RoleStore):
    """Roles in a file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        call = _Campaign(roles, holder, lease_ms)
        return await self._writer.submit(_campaign, call, rows=len(roles), is_urgent=True)

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        return await self._writer.submit(_renew, _Renewal(terms, lease_ms), rows=len(terms), is_urgent=True)

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        return await self._writer.submit(_renew, _Renewal(terms, 0), rows=len(terms), is_urgent=True)

    async def list(self) -> list_of[RoleRow]:
        # Not by way of the reader, where it would stand behind long lists of jobs.
        return await self._writer.submit(_list, None, rows=1, is_urgent=True)


class _Campaign(NamedTuple):
    roles: Sequence[str]
    holder: bytes
    lease_ms: int


class _Renewal(NamedTuple):
    terms: Sequence[Term]
    lease_ms: int  # 0: the term ends now


def check_term(tx: Transaction, fence: Term | None) -> None:
    """Raises `TermOver` for a term that does not run; that one call's transaction is rolled back."""
    if fence is not None and _stand(tx, fence.role).term != fence:
        raise TermOver(fence)


def _campaign(tx: Transaction, calls: Sequence[_Campaign]) -> list[list[RoleRow]]:
    answers = []
    for roles, holder, lease_ms in calls:
        for role in roles:
            values: _Values = {"name": name_bytes(role), "holder": holder, "now": tx.lease_now, "lease_ms": lease_ms}
            tx.write(_CAMPAIGN, values)
        answers.append([_stand(tx, role) for role in roles])
    return answers


def _renew(tx: Transaction, calls: Sequence[_Renewal]) -> list[list[bool]]:
    return [[_renew_one(tx, term, call.lease_ms) for term in call.terms] for call in calls]


def _renew_one(tx: Transaction, term: Term, lease_ms: int) -> bool:
    values: _Values = {
        "name": name_bytes(term.role),
        "holder": term.holder,
        "number": term.number,
        "now": tx.lease_now,
        "lease_until": tx.lease_now + lease_ms,
    }
    return tx.write(_RENEW, values) == 1


def _list(tx: Transaction, calls: Sequence[None]) -> list[list[RoleRow]]:
    rows = [
        _row_of(name_of(cast(bytes, name)), *cast("tuple[bytes, int, int]", rest), tx.lease_now)
        for name, *rest in tx.all(_LIST)
    ]
    return [rows] * len(calls)


def _stand(tx: Transaction, role: str) -> RoleRow:
    """How a role stands; in term 0 if it was never granted."""
    found = tx.one(_STAND, (name_bytes(role),))
    holder, number, lease_until = cast("tuple[bytes, int, int]", found or (b"", 0, -1))
    return _row_of(role, holder, number, lease_until, tx.lease_now)


def _row_of(role: str, holder: bytes, number: int, lease_until: int, now: int) -> RoleRow:
    left_ms = lease_until - now
    return RoleRow(role, holder, number, left_ms) if left_ms > 0 else RoleRow(role, None, number, 0)
