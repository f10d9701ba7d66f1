"""One open runtime on one event loop: its store, its supervision tree, and the work it does if asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..actors.names import validate_queue
from ..actors.node import SIDE_BY_SIDE, TOGETHER, NodeParts
from ..actors.node_log import NodeLog
from ..kernel.codec import encode
from ..kernel.ref import Ref
from ..kernel.supervisor import Supervisor
from ..kernel.system import ChildEvent
from ..storage.actor import StoreHealth
from ..storage.ids import IdFactory
from ..storage.job import NewJob
from ..storage.ports.store import Store
from ..storage.ports.transaction import TransactionStore
from ..storage.urls import store_of
from .definitions import Definitions
from .drain import drain
from .environment import Environment
from .job import Call, InvalidOption
from .tree import queue_specs, tree
from .version import VERSION

if TYPE_CHECKING:
    from .runtime import Runtime

MOST_SLOTS = 10_000
_LEVELS = {"crashed": "error", "parked": "error", "gave_up": "error", "abandoned": "error"}


class Node:
    """Made by `Runtime`; `open` and `close` once each."""

    def __init__(self, runtime: Runtime, environment: Environment) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self.loop = asyncio.get_running_loop()
        self.store: Store = _store(runtime, environment)
        self.health = StoreHealth()
        self.parts = NodeParts(
            boot_id=environment.entropy(16),
            clock=environment.clock,
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
        self._ids = IdFactory(environment.clock, environment.entropy)
        self.queues: dict[str, int] = {}  # that it works on, with their slots
        self._work: list[str] = []

    async def open(self) -> None:
        """Open the store and start the client's part of the tree. Raises what `Store.open` raises."""
        await self.store.open(migrate=self._runtime.migrate or self.store.is_embedded)
        try:
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
            await self.store.close()
            raise
        self.storage: Ref = self.root.ref(self.parts.lanes.work)
        self.results: Ref = self.root.ref("results")

    @property
    def transactions(self) -> TransactionStore:
        """Enqueueing in transactions of others. Raises `InvalidTransaction` where the store cannot."""
        return self.parts.transactions_of("tx=")

    async def close(self) -> None:
        """Stop the tree, then close the store."""
        try:
            await self.root.__aexit__(None, None, None)
        finally:
            await self.store.close()

    def new_job(self, call: Call[Any]) -> NewJob:
        """The row that a bound call asks for, under a fresh id."""
        definition, options = call.definition, call.options
        queue = options.queue or (definition.queue if definition is not None else "default")
        priority = options.priority
        if priority is None:
            priority = definition.priority if definition is not None else 2
        run_at = options.at_ms
        if options.delay_s:
            run_at = self.parts.clock.wall_ms() + int(options.delay_s * 1000)
        return NewJob(self._ids.new_id(), call.name, queue, call.payload, priority, run_at, options.timeout_ms)

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

    async def start_work(self, queues: Mapping[str, int]) -> None:
        """Start what runs jobs, to the right of what is there."""
        if self._work:
            raise InvalidOption("this runtime works already: one work() or run() at a time")
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

    async def stop_work(self, hurry: asyncio.Event) -> None:
        """Drain, then stop what runs jobs, right to left. `hurry`, once set, ends the grace."""
        grace_s = self._runtime.settings.grace_s
        await drain(self.root, self.parts, self.queues, grace_s=grace_s, hurry=hurry)
        while self._work:
            await self.root.stop_child(self._work.pop())

    def report(self) -> bytes:
        """What this node's row says of it, encoded: queues with slots, what is parked and why, counters."""
        in_flight = self.parts.in_flight
        parked = {
            info.id.removeprefix("queues/"): info.last_crash or "unknown"
            for info in self.root.which_children()
            if info.restart_in_s is not None
        }
        return encode(
            {
                "queues": self.queues,
                "parked": parked,
                "executing": len(in_flight),
                "refused_writes": in_flight.refused_writes,
                "lost_leases": in_flight.lost_leases,
                "is_draining": self.parts.is_draining,
                "storage_reset": self.parts.trust.reset is not None,
            }
        )

    def _let_go_of(self, queue: str) -> None:
        """Forget leases that a parked queue still had: the heartbeat finds and hands back what nobody here knows."""
        for job_id, claim_token in self.parts.in_flight.of_queue(queue):
            self.parts.in_flight.release(job_id, claim_token)

    def _specs(self, queues: Mapping[str, int] | None) -> list[Any]:
        return tree(
            self.parts, self.store, self.health, self._runtime.settings, VERSION, queues=queues, report=self.report
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
