"""The port of transactions: jobs written on a connection of the caller's own, within his transaction.

Whether the writes take effect is then his to say: committed with all else that he wrote, or rolled back with it. A
store that has no such connections declares it: its `transactions` is None.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol

from ..job import NewJob
from ..records import Finish


class TransactionStore(Protocol):
    """Writes by way of somebody else's connection, which is neither committed, rolled back nor closed here.

    Each method raises `InvalidTransaction`, with nothing written and the transaction as it was, for a connection of
    another kind, of another store, or without a transaction. What the connection itself raises is passed on as it is.
    """

    @abstractmethod
    def insert(self, tx: object, jobs: Sequence[NewJob]) -> Awaitable[list[bool]]:
        """As `JobStore.insert`, once the transaction is committed; others are woken then, and not before."""

    @abstractmethod
    def complete(self, tx: object, end: Finish, *, boot_id: bytes) -> Awaitable[bool]:
        """As `JobStore.finish` for one job. True: it ends with the transaction's commit. False: the lease is lost."""
