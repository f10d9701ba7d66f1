"""A role as one node has it: the term that it may act in, for as long as it may trust that the term runs."""

from __future__ import annotations

import asyncio

from ..kernel.clock import Clock
from ..storage.errors import TermOver
from ..storage.role import Term

TRUSTED = 0.9  # of a lease, from the start of the call that last confirmed it


class Tenure:
    """One term of a role, from its grant to this node until it is over. Handed to whatever acts because of the role."""

    __slots__ = ("_clock", "_is_over", "_term", "_trusted_until")

    def __init__(self, term: Term, clock: Clock, trusted_until: float) -> None:
        self._term = term
        self._clock = clock
        self._trusted_until = trusted_until
        self._is_over = False

    def fence(self) -> Term:
        """The term, to be carried by a write. Raises `TermOver` once it may be over.

        Looked at in the very step that makes the write: a process that was stopped and continued finds the time gone
        here before it finds out in any other way.
        """
        if not self.is_trusted:
            raise TermOver(self._term)
        return self._term

    @property
    def term(self) -> Term:
        """The term, over or not."""
        return self._term

    @property
    def is_trusted(self) -> bool:
        """Whether the lease certainly runs."""
        return not self._is_over and self._clock.monotonic() < self._trusted_until

    @property
    def trusted_until(self) -> float:
        """Monotonic seconds."""
        return self._trusted_until

    def renewed(self, until: float) -> None:
        """The store confirmed it; it is trusted until that monotonic second."""
        self._trusted_until = max(self._trusted_until, until)

    def end(self) -> None:
        """Nothing may be done because of it any more."""
        self._is_over = True


class Seat:
    """What this node knows of one role. Written by the role's leader, read by whoever looks for what it leads."""

    __slots__ = ("_watchers", "holder", "is_on_duty", "last_number", "problem", "tenure")

    def __init__(self) -> None:
        self.tenure: Tenure | None = None  # while this node holds the role
        self.is_on_duty = False  # and what it is held for has started
        self.holder: bytes | None = None  # who held it when that was last heard of; None: nobody, or not known yet
        self.last_number = 0  # of the last term that began here
        self.problem: str | None = None  # why what it is held for could not be done here
        self._watchers: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        """Tell those who wait."""
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def change(self) -> asyncio.Future[None]:
        """Done at the next change."""
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        return watcher
