"""The port of roles: leases on what only one node does at a time, with terms that grow.

Time is the store's clock. Invariants, on every store: at any instant at most one term of a role runs; the numbers of a
role's terms grow strictly, also when its lease ran out, was resigned, or its holder's row is gone; a call that carries
a `Term` as its fence takes effect only if that very term runs, and commits before the role's next term is granted,
whatever happens beside it. Roles need no row of a node. A role's name may be any text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol

from ..role import RoleRow, Term


class RoleStore(Protocol):
    """Leases on roles. A batch takes effect whole or not at all; answers stand in the order of what was asked.

    A call that ends with `Unavailable` may or may not have taken effect, and repeating it is safe. Calls are answered
    without waiting for other work of this process.
    """

    @abstractmethod
    def campaign(self, roles: Sequence[str], *, holder: bytes, lease_ms: int) -> Awaitable[list[RoleRow]]:
        """Take each role that nobody holds, in its next term, for `lease_ms`; per role, how it stands now.

        A role that `holder` holds already is answered as it stands, not renewed: so a campaign whose reply was lost
        finds its own term.
        """

    @abstractmethod
    def renew(self, terms: Sequence[Term], *, lease_ms: int) -> Awaitable[list[bool]]:
        """Let leases run for `lease_ms` from now. False: that term is over, and nothing was changed."""

    @abstractmethod
    def resign(self, terms: Sequence[Term]) -> Awaitable[list[bool]]:
        """End terms now. False: it was over before."""

    @abstractmethod
    def list(self) -> Awaitable[Sequence[RoleRow]]:
        """All roles that were ever granted, by name."""
