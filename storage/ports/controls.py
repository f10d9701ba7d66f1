"""The port of control messages: a small table through which nodes are asked for things, on every store.

At least once: a request waits until it is answered, so whoever takes it must know those that it has in hand by their
ids. A wake-up tells the node that something waits, and the asker that it was answered; polling stands below.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Protocol

from ..control import Control, ControlAnswer


class ControlStore(Protocol):
    """Requests to nodes and their answers. A call that ends with `Unavailable` may be repeated."""

    @abstractmethod
    def send(self, controls: Sequence[Control]) -> Awaitable[None]:
        """Keep requests; one whose id is there already is left as it is. Whether the node exists is not asked."""

    @abstractmethod
    def take(self, boot_id: bytes, *, limit: int) -> Awaitable[Sequence[Control]]:
        """What waits for this node, at most `limit`, the longest waiting first. It goes on waiting until answered."""

    @abstractmethod
    def answer(self, answers: Sequence[ControlAnswer]) -> Awaitable[None]:
        """Keep answers. One to a request that is gone, or was answered before, is passed over."""

    @abstractmethod
    def answers(self, ids: Sequence[bytes]) -> Awaitable[Sequence[ControlAnswer | None]]:
        """Per request its answer; None: not answered yet, or gone."""

    @abstractmethod
    def prune(self, *, asked_before: int) -> Awaitable[int]:
        """Remove requests, answered or not, that were asked before that wall millisecond; how many."""
