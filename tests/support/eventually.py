"""Waiting for what is about to become true, without sleeping a fixed time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

import anyio

T = TypeVar("T")


@overload
async def eventually(probe: Callable[[], Awaitable[T]], *, within_s: float = 10.0) -> T: ...
@overload
async def eventually(probe: Callable[[], T], *, within_s: float = 10.0) -> T: ...
async def eventually(probe: Callable[[], T | Awaitable[T]], *, within_s: float = 10.0) -> T:
    """The first true value that `probe` gives (it may be async); AssertionError if none within `within_s` seconds.

    A probe may assert: its AssertionError means "not yet", and the last one is the cause of the final error.
    """
    patience = _Patience(within_s)
    while True:
        try:
            given = probe()
            value = cast(T, await given if inspect.isawaitable(given) else given)
        except AssertionError as error:
            pause_s = patience.after(error)
        else:
            if value:
                return value
            pause_s = patience.after(value)
        await anyio.sleep(pause_s)


def eventually_sync(probe: Callable[[], T], *, within_s: float = 10.0) -> T:
    """The same for a test without a loop."""
    patience = _Patience(within_s)
    while True:
        try:
            value = probe()
        except AssertionError as error:
            pause_s = patience.after(error)
        else:
            if value:
                return value
            pause_s = patience.after(value)
        time.sleep(pause_s)


class _Patience:
    """Pauses that grow from 1 to 50 ms until the time is over."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._until = time.monotonic() + within_s
        self._pause_s = 0.001

    def after(self, last: object) -> float:
        """How long to pause after an attempt that gave `last`; raises when no time is left."""
        if time.monotonic() >= self._until:
            cause = last if isinstance(last, AssertionError) else None
            raise AssertionError(f"not true within {self._within_s} s, last: {last!r}") from cause
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, 0.05)
        return pause_s
