"""The stores of a simulation: memory stands in for all, one board for each URL."""

from __future__ import annotations

from collections.abc import Callable

from ..kernel.clock import Clock
from ..storage.memory.driver import MemoryStore
from ..storage.ports.store import Store
from .sim_loop import machine_here


class SimStores:
    """Gives handles. Those that are asked for on a machine go through `wrap`, if there is one: its way to the store."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.seed = seed  # of the simulation
        self.wrap: Callable[[Store, object], Store] | None = None
        self._clock = clock  # of all stores
        self._by_url: dict[str, MemoryStore] = {}

    def __call__(self, url: str) -> Store:
        """A handle of its own at every call; of one board for one URL, except that each `memory://` is its own."""
        if url == "memory://":
            return MemoryStore(clock=self._clock)
        first = self._by_url.get(url)
        if first is None:
            first = self._by_url[url] = MemoryStore(clock=self._clock)
        machine = machine_here.get()
        store = first.another()
        return store if self.wrap is None or machine is None else self.wrap(store, machine)
