"""What a node takes from outside itself, and tests and simulations replace: time, chance, threads, the store."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..kernel.clock import Clock, SystemClock
from ..kernel.transport.port import Link
from ..storage.ports.store import Store


@dataclass(frozen=True, slots=True)
class Environment:
    """Handed to a node when it is opened."""

    clock: Clock  # the machine's; jobs go by the store's wall time, where that has a clock of its own
    rng: random.Random
    entropy: Callable[[int], bytes]
    runs_threads: bool = True  # False: plain handlers run on the event loop, nothing may leave it
    beats_in_thread: bool = True  # False: the heartbeat is a task on the event loop, so that the clock needs no lock
    store_of: Callable[[str], Store] | None = None  # what stands in for the store of a URL; None: that store itself
    link_of: Callable[[str | None, bytes], Link] | None = None  # likewise a node's link, with store_of


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Environment] = WeakKeyDictionary()


def machine_environment() -> Environment:
    """The machine's own."""
    return Environment(SystemClock(), random.Random(), os.urandom)


def environment_here() -> Environment:
    """The simulation's, on its event loop; on any other, the machine's own."""
    return _of_loop.get(asyncio.get_running_loop()) or machine_environment()


@contextmanager
def environment_of(loop: asyncio.AbstractEventLoop, environment: Environment) -> Iterator[None]:
    """Within the block, whatever is opened on `loop` gets `environment`."""
    _of_loop[loop] = environment
    try:
        yield
    finally:
        del _of_loop[loop]
