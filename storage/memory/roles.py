"""Roles in memory."""

from __future__ import annotations

from builtins import list as list_of
from collections.abc import Sequence

from ...kernel.clock import Clock
from ..ports.roles import RoleStore
from ..role import RoleRow, Term
from .board import Board
from .jobs import lease_now


class MemoryRoles(RoleStore):
    """The port of roles over a board."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    async def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> list_of[RoleRow]:
        board, now = self._board, lease_now(self._clock)
        with board.lock:
            return [board.campaign(role, holder, now, lease_ms) for role in roles]

    async def renew(self, terms: Sequence[Term], *, lease_ms: int) -> list_of[bool]:
        return self._prolong(terms, lease_ms)

    async def resign(self, terms: Sequence[Term]) -> list_of[bool]:
        return self._prolong(terms, 0)

    def _prolong(self, terms: Sequence[Term], lease_ms: int) -> list_of[bool]:
        board, now = self._board, lease_now(self._clock)
        answers = []
        with board.lock:
            for term in terms:
                runs = board.runs(term, now)
                if runs:
                    board.roles[term.role].lease_until = now + lease_ms
                answers.append(runs)
        return answers

    async def list(self) -> list_of[RoleRow]:
        board, now = self._board, lease_now(self._clock)
        with board.lock:
            return [board.roles[role].row(now) for role in sorted(board.roles)]
