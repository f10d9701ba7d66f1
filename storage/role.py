"""Roles of a cluster and the terms in which they are held. Pure.

A role is held by one node at a time, for as long as its lease runs by the store's clock. Each grant has a term, with a
number that is greater than that of every grant before it; renewing keeps it. A term ends with its lease or with a
resignation, whichever comes first, and never begins again.
"""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """One grant of a role: the fence of everything that is written because of it."""

    role: str
    holder: bytes  # boot id
    number: int

    def __str__(self) -> str:
        return f"term {self.number} of role {self.role!r}"


class RoleRow(NamedTuple):
    """A role as it stands. Once granted, a role keeps its row, and its last term, for ever."""

    role: str
    holder: bytes | None  # boot id; None: nobody holds it, since its lease ran out or was resigned
    number: int  # of the term that runs, or of the last one that did
    expires_in_ms: int  # what is left of the lease; 0 while nobody holds it

    @property
    def term(self) -> Term | None:
        """The term that runs, if one does."""
        return None if self.holder is None else Term(self.role, self.holder, self.number)


def name_bytes(name: str) -> bytes:
    """A name as stores keep it: any text goes in and comes out the same, in the order of its code points."""
    return name.encode("utf-8", "surrogatepass")


def name_of(raw: bytes) -> str:
    """The name that `name_bytes` encoded."""
    return raw.decode("utf-8", "surrogatepass")
