"""What a store was seen to grant of its roles, and which fenced writes it let through: checked call by call.

It keeps its own account of every lease, from what the store answered, and shares no code with the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from callboard.storage.errors import TermOver
from callboard.storage.role import RoleRow, Term
from callboard.testing import Carried


@dataclass(slots=True)
class Grant:
    """A term as the store has granted it."""

    term: Term
    until_ms: int  # lease milliseconds

    def runs(self, now_ms: int) -> bool:
        return now_ms < self.until_ms


class RolesLedger:
    """`note` every call, and `acted` whenever somebody does something because of a role."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.accepted = 0  # fenced writes
        self.refused = 0
        self.terms: dict[str, list[Term]] = {}  # by role, in the order of their grants
        self._latest: dict[str, Grant] = {}

    def note(self, call: Carried) -> None:
        """One call that the store carried out."""
        match call.method:
            case "roles.campaign":
                for row in call.value:
                    self._campaigned(call, row)
            case "roles.renew":
                for term, was_renewed in zip(call.args[0], call.value, strict=True):
                    self._prolonged(call, term, was_renewed, call.kwargs["lease_ms"])
            case "roles.resign":
                for term, was_ours in zip(call.args[0], call.value, strict=True):
                    self._prolonged(call, term, was_ours, 0)
            case _:
                fence = call.kwargs.get("fence")
                if fence is not None:
                    self._written(call, fence)

    def acted(self, term: Term, at_s: float) -> None:
        """Somebody did something because of that term, trusting that it runs."""
        if not self._runs(term, at_s):
            self.wrong.append(f"{at_s:.3f} s: something was done in {term}, but {self._stands(term.role, at_s)}")

    def _campaigned(self, call: Carried, row: RoleRow) -> None:
        now_ms = _ms(call.at_s)
        latest = self._latest.get(row.role)
        last = 0 if latest is None else latest.term.number
        if row.term is None:
            self._say(call, f"nobody holds {row.role!r} after a campaign for it")
        elif row.number > last:
            if latest is not None and latest.runs(now_ms):
                self._say(call, f"{row.term} was granted while {latest.term} ran")
            if row.holder != call.kwargs["holder"]:
                self._say(call, f"{row.term} was granted to one who did not ask")
            self._latest[row.role] = Grant(row.term, now_ms + call.kwargs["lease_ms"])
            self.terms.setdefault(row.role, []).append(row.term)
        elif latest is None or row.term != latest.term or not latest.runs(now_ms):
            self._say(
                call, f"it says {row.term}, held by {row.term.holder.hex()}, but {self._stands(row.role, call.at_s)}"
            )

    def _prolonged(self, call: Carried, term: Term, was_done: bool, lease_ms: int) -> None:
        if was_done != self._runs(term, call.at_s):
            self._say(call, f"{term} was answered {was_done}, but {self._stands(term.role, call.at_s)}")
        if was_done and term.role in self._latest:
            self._latest[term.role].until_ms = _ms(call.at_s) + lease_ms

    def _written(self, call: Carried, fence: Term) -> None:
        runs = self._runs(fence, call.at_s)
        if call.error is None:
            self.accepted += 1
            if not runs:
                self._say(call, f"accepted under {fence}, but {self._stands(fence.role, call.at_s)}")
        elif isinstance(call.error, TermOver):
            self.refused += 1
            if runs:
                self._say(call, f"refused under {fence}, which runs")

    def _runs(self, term: Term, at_s: float) -> bool:
        latest = self._latest.get(term.role)
        return latest is not None and latest.term == term and latest.runs(_ms(at_s))

    def _stands(self, role: str, at_s: float) -> str:
        latest = self._latest.get(role)
        if latest is None:
            return "it was never granted"
        verb = "runs" if latest.runs(_ms(at_s)) else "was the last and is over"
        return f"{latest.term}, held by {latest.term.holder.hex()}, {verb}"

    def _say(self, call: Carried, what: Any) -> None:
        self.wrong.append(f"{call.at_s:.3f} s, {call.method} sent at {call.sent_s:.3f} s: {what}")


def _ms(at_s: float) -> int:
    return int(at_s * 1000)
