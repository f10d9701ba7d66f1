"""What can go wrong between a node and its store.

CallboardError
└─ StorageError
   ├─ Unavailable      the store does not answer: back off and try again
   ├─ Full             no room for new work; completions still go through
   ├─ LeaseLost        the claim token is no longer the job's: stop the attempt
   ├─ TermOver         the role is no longer held in that term: stop what was done because of it
   ├─ Corrupt          the file or a record is damaged or foreign; nothing was changed
   │  └─ StorageReset  the store was emptied or replaced while in use: it is not the one that was opened
   ├─ MigrationNeeded  the schema is older than this code, or there is none
   │  └─ SchemaTooNew  the schema needs newer code: no migration helps
   ├─ InvalidTransaction  what was given as tx= is no open transaction on this store
   └─ InvalidStore     the URL, path or option names no store that can be opened
"""

from __future__ import annotations

from ..kernel.errors import CallboardError
from .role import Term


class StorageError(CallboardError):
    """Anything a store reports."""


class Unavailable(StorageError):
    """The store did not answer; whether the call took effect is unknown, and repeating it is safe."""


class Full(StorageError):
    """There is no room for new jobs. Nothing of the call was written; it may be repeated when there is room."""


class LeaseLost(StorageError):
    """A write carried a claim token that is no longer the job's; it was refused and changed nothing."""


class TermOver(StorageError):
    """A write carried a term of a role that is over; it was refused and changed nothing."""

    def __init__(self, term: Term) -> None:
        super().__init__(f"{term} is over: what is done because of it was refused, and nothing was written")
        self.term = term


class Corrupt(StorageError):
    """What is stored cannot be read as what it should be; it was left untouched."""


class StorageReset(Corrupt):
    """The store is not the one that was opened: it was emptied or replaced while in use.

    Nothing from before is accepted. Nodes stop their attempts, claim nothing more and stay up to say so; a restart is
    how an operator says that the new store is meant.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"storage_reset: {what} while in use; nothing from before is accepted. Restart this process to work on"
            " what is there now"
        )


class MigrationNeeded(StorageError):
    """The store's schema does not fit this code. Nothing was written."""

    def __init__(self, message: str, *, found: int = 0) -> None:
        super().__init__(message)
        self.found = found  # the schema that the store has; 0 for none


class SchemaTooNew(MigrationNeeded):
    """The store's schema needs newer code. No migration brings it back."""


class InvalidStore(StorageError, ValueError):
    """A store URL, path or option cannot be used. Nothing was created."""


class InvalidTransaction(StorageError, ValueError):
    """What was given as `tx=` is no open transaction on this store. Nothing was written."""
