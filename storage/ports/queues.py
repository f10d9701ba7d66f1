"""The port of queues: what operators see and switch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from ..job import JobState
from ..records import QueueRow


class QueueStore(Protocol):
    """Queues, their switches and their counters."""

    @abstractmethod
    def counts(self, queue: str | None = None) -> Awaitable[Mapping[JobState, int]]:
        """Jobs per state, every state named, of one queue or of all. Reads counters that each transition keeps."""

    @abstractmethod
    def list(self) -> Awaitable[Sequence[QueueRow]]:
        """All queues, by name."""

    @abstractmethod
    def pause(self, queues: Sequence[str]) -> Awaitable[None]:
        """From now on no claim gives jobs of these queues; what executes goes on. A queue not known yet is made."""

    @abstractmethod
    def resume(self, queues: Sequence[str]) -> Awaitable[None]:
        """Undo `pause`; no effect on a queue that is not paused."""
