"""Opening a store whose server is not there yet: tried again with back-off, for as long as a command's --wait says.

Not there yet is what a store reports as `Unavailable`: nothing listens, its name is not known, it is still starting or
takes no connections. What would not pass by itself, a wrong password say, is raised at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from ..kernel.clock import SystemClock
from ..storage.errors import Unavailable

T = TypeVar("T")

WAIT_S = 30.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


async def patiently(open_: Callable[[], Awaitable[T]], *, wait_s: float, tell: Callable[[str], object]) -> T:
    """What `open_` gives, called again after each `Unavailable` until `wait_s` have passed.

    `tell` gets one line when it has to be waited for. A call under way is let end, so the last one may end a little
    later. Raises `Unavailable`, with how long was waited, and whatever else `open_` raises.
    """
    clock = SystemClock()
    ends = clock.monotonic() + wait_s
    rng = random.Random()
    pause_s = _FIRST_PAUSE_S
    has_told = False
    while True:
        try:
            return await open_()
        except Unavailable as error:
            said = str(error).rstrip(".")
            left_s = ends - clock.monotonic()
            if left_s <= 0:
                raise Unavailable(f"{said}; waited {wait_s:g} s for it" if wait_s else said) from error
            if not has_told:
                tell(f"{said}; waiting up to {wait_s:g} s for it")
                has_told = True
        await clock.sleep(min(pause_s * rng.uniform(0.5, 1.0), left_s))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


class Interruptible:
    """A block that `interrupt`, called on the same event loop, breaks off; what follows the block goes on."""

    def __init__(self) -> None:
        self.was_interrupted = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def interrupt(self) -> None:
        """Break the block off. Without effect before and after it."""
        if self._task is not None and not self.was_interrupted:
            self.was_interrupted = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self.was_interrupted or task is None:
            return False
        return task.uncancel() == 0 and kind is asyncio.CancelledError
