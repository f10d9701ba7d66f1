"""The port of a whole store: one URL opened, with its smaller ports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from ..records import Finding
from .controls import ControlStore
from .jobs import HeartbeatStore, JobStore
from .nodes import NodeStore
from .queues import QueueStore
from .roles import RoleStore
from .transaction import TransactionStore
from .wakeups import WakeupStore


class Store(Protocol):
    """One store. Constructing it touches nothing; `open` connects, and is called on the node's event loop."""

    is_durable: bool  # jobs outlive the process
    is_shared: bool  # several processes may open it at once
    is_embedded: bool  # belongs to whoever opens it, who also brings it up to date; no server
    commits_together: bool  # one commit takes all that waits; False: claims, ends and the rest go side by side
    jobs: JobStore
    queues: QueueStore
    nodes: NodeStore
    roles: RoleStore
    controls: ControlStore
    wakeups: WakeupStore
    transactions: TransactionStore | None  # None: it has no connection that a caller could have a transaction on
    wall_ms: Callable[[], int]  # now by the store's clock, as this process knows it; its own until the store is open

    @abstractmethod
    async def open(self, *, migrate: bool = True) -> None:
        """Connect, and bring an empty or older schema up to date if `migrate`.

        Raises `InvalidStore`, `Corrupt`, `MigrationNeeded` or `Unavailable`; then nothing was changed or left open.
        `Unavailable` alone may pass by itself: a server that is not there yet, or is starting.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed in, then let go of everything. Idempotent."""

    @abstractmethod
    def heartbeats(self) -> HeartbeatStore:
        """A handle for the heartbeat's thread."""

    @abstractmethod
    async def examine(self) -> Sequence[Finding]:
        """What `doctor` says of this store: versions, durability, room, integrity."""
