"""Several nodes at once, each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.node_hands import NodeHands
from tests.support.stores import Place

T = TypeVar("T")


async def in_threads(place: Place, *parts: Callable[[NodeHands], Awaitable[T]]) -> list[T]:
    """What each part gives, run at once as a node of its own: a thread, a loop and a handle each."""
    ready = threading.Barrier(len(parts))

    def run(number: int) -> T:
        async def part() -> T:
            store = place.handle()
            await store.open()
            try:
                hands = NodeHands(store, place.clock, boot_id=bytes([number]) * 16, seed=number)
                ready.wait(timeout=30)
                return await parts[number](hands)
            finally:
                await store.close()

        return asyncio.run(part())

    with ThreadPoolExecutor(len(parts)) as threads:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(threads, run, number) for number in range(len(parts))))
