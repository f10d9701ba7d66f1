"""Calls to a store that is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from callboard.storage.errors import Unavailable

T = TypeVar("T")


async def until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """What a node does: make the call again while the store is unavailable."""
    while True:
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(0)
