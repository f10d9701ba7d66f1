"""What the actors of one node share: its identity, its leases, its time and chance, its limits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..kernel.clock import Clock
from ..storage.errors import InvalidTransaction
from ..storage.ports.jobs import JobStore
from ..storage.ports.transaction import TransactionStore
from .inflight import InFlight
from .node_log import NodeLog
from .tenure import Seat
from .trust import Trust

if TYPE_CHECKING:
    from .attempt import Attempt
    from .definition import JobDefinition


@dataclass(frozen=True, slots=True)
class Lanes:
    """Paths of the storage actors, by what goes to each; one for all where the store commits everything together."""

    work: str = "store"  # inserts, operators' verbs, nodes, rescue
    claims: str = "store"
    ends: str = "store"  # whatever closes an attempt


TOGETHER = Lanes()
SIDE_BY_SIDE = Lanes(claims="claims", ends="ends")


@dataclass(slots=True)
class NodeParts:
    """Put together once by `runtime/tree.py`; the actors hold it for the node's life."""

    boot_id: bytes
    clock: Clock  # its wall time is the store's
    rng: random.Random
    log: NodeLog
    definitions: Mapping[str, JobDefinition]
    lease_s: float
    max_crashes: int
    poll_s: float  # the longest a dispatcher sleeps without looking
    lanes: Lanes = TOGETHER
    jobs: JobStore | None = None  # to look at a job's row
    transactions: TransactionStore | None = None  # None: the store cannot
    runs_threads: bool = True  # False in simulations: nothing may leave the event loop
    beats_in_thread: bool = True  # False where the clock may be used on the event loop only
    runtime: Any = None  # what ctx.runtime gives
    finished: int = 0  # attempts whose outcome was written
    is_draining: bool = False  # nothing is claimed any more
    paused: set[str] = field(default_factory=set)  # queues from which an operator lets this node claim nothing
    is_held: bool = False  # nothing is claimed for now: a test lets its jobs run when it says so
    in_flight: InFlight = field(default_factory=InFlight)
    running: dict[str, Mapping[bytes, Attempt]] = field(default_factory=dict)  # by queue: attempts that go on now
    seats: dict[str, Seat] = field(default_factory=dict)  # by role: what this node knows of it
    trust: Trust = field(init=False)

    def __post_init__(self) -> None:
        self.trust = Trust(self.lease_s)

    @property
    def lease_ms(self) -> int:
        """The lease of a claim or a renewal, in milliseconds."""
        return int(self.lease_s * 1000)

    def transactions_of(self, what: str) -> TransactionStore:
        """How jobs are written within transactions of others. Raises `InvalidTransaction` where they cannot be."""
        if self.transactions is None:
            raise InvalidTransaction(
                f"{what}: this store has no transactions that a job could be part of; PostgreSQL and SQLite have"
            )
        return self.transactions

    def may_claim(self, queue: str) -> bool:
        """Whether jobs of that queue may be claimed now."""
        return not (self.is_draining or self.is_held or self.trust.reset is not None or queue in self.paused)

    def store_was_reset(self, why: str) -> None:
        """Stop relying on the store, and say so once."""
        if self.trust.reset is None:
            self.trust.reset = why
            self.log.error(why)
