"""One open runtime on one event loop: its store, its supervision tree, and the work it does if asked to."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..actors.bell import Bell
from ..actors.controls import Hands
from ..actors.names import validate_queue
from ..actors.node import SIDE_BY_SIDE, TOGETHER, NodeParts
from ..actors.node_log import NodeLog
from ..actors.reach import Reach
from ..kernel.child import ChildSpec
from ..kernel.codec import encode
from ..kernel.ref import Ref
from ..kernel.supervisor import Supervisor
from ..kernel.system import ChildEvent
from ..kernel.transport.port import Link
from ..storage.actor import StoreHealth
from ..storage.ids import IdFactory
from ..storage.messages import Committed
from ..storage.ports.store import Store
from ..storage.ports.transaction import TransactionStore
from ..storage.store_clock import StoreClock
from ..storage.urls import store_of
from .asking import Asking
from .definitions import Definitions
from .drain import drain
from .environment import Environment
from .job import InvalidOption
from .links import link_of, open_link
from .tree import queue_specs, tree
from .version import VERSION

if TYPE_CHECKING:
    from .runtime import Runtime

MOST_SLOTS = 10_000
_LEVELS = {"crashed": "error", "parked": "error", "gave_up": "error", "abandoned": "error"}


class Node(Hands):
    """Made by `Runtime`; `open` and `close` once each."""

    def __init__(self, runtime: Runtime, environment: Environment) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self.loop = asyncio.get_running_loop()
        self.store: Store = _store(runtime, environment)
        self.health = StoreHealth()
        clock = StoreClock(environment.clock, self.store.wall_ms)  # the store's moments are the same for all nodes
        self.parts = NodeParts(
            boot_id=environment.entropy(16),
            clock=clock,
            rng=environment.rng,
            log=NodeLog("callboard.node"),
            definitions=Definitions(runtime),
            lease_s=settings.lease_s,
            max_crashes=settings.max_crashes,
            poll_s=settings.poll_s,
            jobs=self.store.jobs,
            transactions=self.store.transactions,
            lanes=TOGETHER if self.store.commits_together else SIDE_BY_SIDE,
            runs_threads=environment.runs_threads,
            beats_in_thread=environment.beats_in_thread,
            runtime=runtime,
        )
        self.link: Link | None = link_of(runtime, environment, self.parts)
        self.ids = IdFactory(clock, environment.entropy)
        self._entropy = environment.entropy
        self._started_at = 0
        self.queues: dict[str, int] = {}  # that it works on, with their slots
        self.drain_asked = asyncio.Event()  # by an operator, elsewhere
        self._work: list[str] = []
        self._hurry = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    async def open(self) -> None:
        """Open the store and start the client's part of the tree. Raises what `Store.open` raises."""
        await self.store.open(migrate=self._runtime.migrate or self.store.is_embedded)
        self._started_at = self.parts.clock.wall_ms()
        try:
            if self.link is not None:
                await open_link(self.link)
            self.root = Supervisor(
                self._specs(None),
                max_restarts=10,
                within=30.0,
                clock=self.parts.clock,
                rng=self.parts.rng,
                observer=self._observe,
            )
            await self.root.__aenter__()
        except BaseException:
            await self._close_ways()
            raise
        self.reach = Reach(self.parts, self.root, self.link)
        self.storage: Ref = self.root.ref(self.parts.lanes.work)
        self.results: Ref = self.root.ref("results")

    @property
    def transactions(self) -> TransactionStore:
        """Enqueueing in transactions of others. Raises `InvalidTransaction` where the store cannot."""
        return self.parts.transactions_of("tx=")

    async def close(self) -> None:
        """Stop the tree, then close the store."""
        now = self.parts.clock.monotonic()
        self.health.work_ends.begin(now)
        self.health.all_ends.begin(now)
        try:
            await self.root.__aexit__(None, None, None)
        finally:
            await self._close_ways()

    async def _close_ways(self) -> None:
        try:
            if self.link is not None:
                await self.link.close()
        finally:
            await self.store.close()

    def ref_of(self, name: str) -> Ref:
        """To a singleton."""
        return Ref(name, self.reach)

    def slots_of(self, queues: Mapping[str, int] | Sequence[str] | None) -> dict[str, int]:
        """Slots by queue. Raises `InvalidName` or `InvalidOption`."""
        slots = self._runtime.settings.slots
        if queues is None:
            queues = sorted({job.definition.queue for job in self._runtime.jobs.values()}) or ["default"]
        if isinstance(queues, str | bytes) or not isinstance(queues, Mapping | Collection):
            raise InvalidOption(
                f'queues: expected slots by name, {{"mail": 20}}, or names, ["mail"]; found {queues!r:.80}'
            )
        wanted = dict(queues) if isinstance(queues, Mapping) else dict.fromkeys(queues, slots)
        for queue, count in wanted.items():
            validate_queue(queue)
            if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_SLOTS:
                raise InvalidOption(f"queue {queue!r}: expected 1 to {MOST_SLOTS} slots, found {count!r:.80}")
        if not wanted:
            raise InvalidOption("expected at least one queue to work on, found none")
        return wanted

    async def start_work(self, queues: Mapping[str, int], hurry: asyncio.Event) -> None:
        """Start what runs jobs, to the right of what is there. `hurry`, once set, ends the grace of a drain."""
        if self._work:
            raise InvalidOption("this runtime works already: one work() or run() at a time")
        self._hurry = hurry
        self._leaving = None
        self.drain_asked.clear()
        self.parts.paused.clear()
        self.parts.is_draining = False
        self.queues = dict(queues)
        clients = {spec.id for spec in self._specs(None)}
        for spec in self._specs(self.queues):
            if spec.id not in clients:
                self._work.append(spec.id)
                await self.root.start_child(spec)

    async def also_work(self, queues: Mapping[str, int]) -> None:
        """Serve these queues too; the node works already, and on none of them."""
        nested = self.root.children["queues"].nested
        assert nested is not None
        for spec in queue_specs(self.parts, queues):
            await nested.start_child(spec)
        self.queues.update(queues)

    def begin_drain(self) -> None:
        """Drain as `stop_work` does, and stay, unless whoever waits for `drain_asked` stops the work then."""
        self.drain_asked.set()
        if self._leaving is None:
            self._leaving = self.loop.create_task(self._leave())

    async def stop_work(self) -> None:
        """Drain, then stop what runs jobs, right to left."""
        self.begin_drain()
        assert self._leaving is not None
        await self._leaving
        self.health.work_ends.begin(self.parts.clock.monotonic())
        try:
            while self._work:
                await self.root.stop_child(self._work.pop())
        finally:
            self.health.work_ends.is_over()

    async def _leave(self) -> None:
        grace_s = self._runtime.settings.grace_s
        await drain(self.root, self.parts, self.queues, grace_s=grace_s, hurry=self._hurry)
        if "roles" in self._work:
            self._work.remove("roles")
            await self.root.stop_child("roles")

    async def asking(self) -> Asking:
        """The way to ask nodes for something."""
        if "answers" not in self.root.children:
            await self.root.start_child(ChildSpec(Bell, id="answers", args=("nodes", self._answered.set)))
        wakeups = self.root.ref("wakeups")
        return Asking(
            self.store,
            clock=self.parts.clock,
            entropy=self._entropy,
            announce=lambda told: wakeups.try_tell(Committed(told)),
            changed=self._answered,
            link=self.link,
        )

    def who(self) -> dict[str, Any]:
        """Who this node is."""
        return {
            "id": self.parts.boot_id.hex(),
            "host": platform.node(),
            "pid": os.getpid(),
            "version": VERSION,
            "started_at": self._started_at,
        }

    def queue_names(self) -> Collection[str]:
        """Queues that it works on."""
        return self.queues

    def report(self) -> bytes:
        """What this node's row says of it, encoded."""
        return encode(self.report_now())

    def report_now(self) -> dict[str, Any]:
        """State, queues with slots, what is parked or paused and why, roles with their terms, counters."""
        in_flight = self.parts.in_flight
        parked = {
            info.id.removeprefix("queues/"): info.last_crash or "unknown"
            for info in self.root.which_children()
            if info.restart_in_s is not None
        }
        tenures = [seat.tenure for seat in self.parts.seats.values() if seat.tenure is not None]
        return {
            "state": self._state(),
            "lease_s": self.parts.lease_s,
            "queues": dict(self.queues),
            "slots": sum(self.queues.values()),
            "parked": parked,
            "paused": sorted(self.parts.paused),
            "roles": {tenure.term.role: tenure.term.number for tenure in tenures if tenure.is_trusted},
            "executing": len(in_flight),
            "refused_writes": in_flight.refused_writes,
            "lost_leases": in_flight.lost_leases,
            "is_draining": self.parts.is_draining,
            "storage_reset": self.parts.trust.reset is not None,
            **({} if self.link is None else {"link": dict(self.link.counters)}),
        }

    def _state(self) -> str:
        if self.parts.trust.reset is not None:
            return "storage_reset"
        if self.parts.is_draining:
            return "draining"
        return "paused" if self.queues and self.parts.paused >= self.queues.keys() else "ready"

    def _let_go_of(self, queue: str) -> None:
        """Forget leases that a parked queue still had: the heartbeat finds and hands back what nobody here knows."""
        for job_id, claim_token in self.parts.in_flight.of_queue(queue):
            self.parts.in_flight.release(job_id, claim_token)

    def _specs(self, queues: Mapping[str, int] | None) -> list[Any]:
        runtime = self._runtime
        return tree(
            self.parts,
            self.store,
            self.health,
            runtime.settings,
            VERSION,
            queues=queues,
            hands=self,
            singletons=runtime.singletons.values(),
            link=self.link,
        )

    def _observe(self, event: ChildEvent) -> None:
        if event.kind == "parked" and event.path.startswith("queues/"):
            self._let_go_of(event.path.split("/")[1])
        level = _LEVELS.get(event.kind, "info")
        getattr(self.parts.log, level)(
            event.text, actor=event.path, happened=event.kind, exc_info=event.error if event.kind == "crashed" else None
        )


def _store(runtime: Runtime, environment: Environment) -> Store:
    if environment.store_of is not None:
        return environment.store_of(runtime.store_url)
    reserve_bytes = runtime.settings.disk_reserve_bytes
    return store_of(runtime.store_url, clock=environment.clock, disk_reserve_bytes=reserve_bytes)
