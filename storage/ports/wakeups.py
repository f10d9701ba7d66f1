"""The port of wake-ups: hints between nodes that looking is worth while. They may be lost; polling stands below."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Protocol

from ..records import Hint, Wakeup


class WakeupStore(Protocol):
    """How nodes on one store wake each other. All methods are called on the node's event loop."""

    joins_inserts: bool  # hints of new jobs may go with the insert itself, for less than a call of their own

    @abstractmethod
    async def listen(self, on_wakeups: Callable[[Collection[Wakeup]], None]) -> None:
        """Call `on_wakeups` for what other handles announce (never for this handle's own), until `close`.

        An empty collection means: something may have changed, look everywhere.
        """

    @abstractmethod
    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        """Tell the others, after the commit. Never raises for a listener that is gone."""

    @abstractmethod
    def take_along(self, wakeups: Collection[Wakeup]) -> Hint | None:
        """What `JobStore.insert` is given so that its commit tells the others; unless it is lost, nothing is announced.

        None: these are to be announced. So it is for a while after others were told, for `announce` gathers, and for
        ever unless `joins_inserts`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Stop listening."""
