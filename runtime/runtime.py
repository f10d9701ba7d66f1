"""The runtime: what a program holds. Every method sends one message into the tree of `runtime/tree.py`.

A job's way begins here: `enqueue_call` tells the storage actor (`storage/actor.py`), which answers after the commit;
see `enqueueing.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..actors.names import validate_queue
from ..kernel.child import ChildSpec
from ..kernel.durations import Duration, seconds
from ..kernel.ref import Ref
from ..storage.errors import InvalidStore
from ..storage.ids import parse_id
from ..storage.job import Job as JobRow
from ..storage.job import JobState
from ..storage.records import CancelAnswer, Failure
from ..storage.role import Term
from ..storage.urls import DEFAULT_STORE
from .enqueueing import enqueue_all, enqueue_one
from .environment import Environment, environment_here
from .handle import Handle
from .job import Call, InvalidOption, Registry, call_by_name
from .links import checked_link
from .looking import NotOpen, cancel_one, wait_for_end
from .node import Node
from .patience import WAIT_S
from .portal import Portal, refuse_beside_main_thread
from .settings import Settings, load_settings
from .singletons import UnknownActor, checked, term_here

if TYPE_CHECKING:
    from .testing import Testing

T = TypeVar("T")


class Runtime(Registry):
    """Jobs on a store. `async with runtime` opens it to enqueue, `async with runtime.work()` to run jobs as well.

    `store` is a URL; left out, CALLBOARD_STORE, else sqlite:///callboard.db. Settings that the call leaves open come
    from the environment. Constructing connects to nothing; raises `InvalidSettings`.

    Opening it raises `Unavailable` for a server that is not there, at once: whoever opens it knows whether waiting is
    right. An empty or older store in memory or in a SQLite file is brought up to date; one on a server only with
    `migrate`, else `MigrationNeeded` is raised: there `callboard migrate` does it, once for all nodes.

    `link`: the URL of a Redis by which singletons are reached from other nodes. A store in Redis is its own link.
    """

    def __init__(
        self,
        store: str | None = None,
        *,
        settings: Settings | None = None,
        migrate: bool = False,
        link: str | None = None,
        environment: Environment | None = None,
    ) -> None:
        super().__init__()
        if store is not None and not isinstance(store, str):
            raise InvalidStore(f"store: expected a URL as text, such as 'sqlite:///jobs.db', found {store!r:.80}")
        self.store_url = store or os.environ.get("CALLBOARD_STORE") or DEFAULT_STORE
        self.settings = load_settings(settings)
        self.migrate = migrate
        self.link_url = checked_link(link)
        self.singletons: dict[str, ChildSpec] = {}
        self._environment = environment  # None: that of the event loop on which it is opened
        self._node: Node | None = None
        self._users = 0  # `async with` blocks, nested or beside each other
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._portal: Portal | None = None
        self.join(self)

    @property
    def registry(self) -> Registry:
        """Where its jobs stand: itself."""
        return self

    @property
    def is_open(self) -> bool:
        """True within `async with`."""
        return self._node is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop on which it is open, or None."""
        return None if self._node is None else self._node.loop

    @property
    def node(self) -> Node:
        """The open node, for tools that look inside. Raises `NotOpen`."""
        node = self._node
        if node is None or asyncio.get_running_loop() is not node.loop:
            raise NotOpen
        return node

    def include(self, registry: Registry) -> None:
        """Take in a registry's jobs, those added to it later too. Raises `DuplicateJob`, with nothing changed."""
        if not isinstance(registry, Registry):
            raise InvalidOption(f"include: expected a Registry, found {type(registry).__name__}")
        registry.join(self)

    # Singletons.

    def singleton(self, spec: ChildSpec) -> None:
        """Declare an actor of which the nodes of the store have one, by the name `spec.id`, at a time.

        It runs on one of the nodes that work and have it declared, and starts on another when that one ends. Raises
        `InvalidOption` for what cannot be one, for a name that is taken, and once the runtime is open.
        """
        if self.is_open:
            raise InvalidOption("singleton: expected to be declared before the runtime is opened")
        spec = checked(spec, self.singletons)
        self.singletons[spec.id] = spec

    def ref(self, name: str) -> Ref:
        """To the singleton of that name, wherever it runs; it stays good when that changes.

        Raises `UnknownActor`, which names those that were declared. Sending raises `ActorStopped` where the singleton
        runs on another node and there is no link to it.
        """
        if name not in self.singletons:
            raise UnknownActor(name, self.singletons)
        return self.node.ref_of(name)

    def term(self) -> Term:
        """The term in which the calling singleton runs, to be given as `fence=`, so that what it enqueues is refused
        once another one has taken its place. Raises `NotASingleton`, and `TermOver` when that may be so already.
        """
        return term_here(self.node.parts)

    # Opening.

    async def __aenter__(self) -> Runtime:
        async with self._turn():
            if self._node is None:
                node = Node(self, self._environment or environment_here())
                await node.open()
                self._node = node
            else:
                self.node  # noqa: B018 - a second loop is refused
            self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users:
            return
        async with self._turn():
            if self._users == 0 and (node := self._node) is not None:
                try:
                    await node.close()
                finally:
                    self._node = None

    def _turn(self) -> asyncio.Lock:
        """Held by the one task that opens or closes: tasks may enter side by side, as requests of a service do."""
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = (loop, asyncio.Lock())
        return self._turns[1]

    def work(
        self, queues: Mapping[str, int] | Sequence[str] | None = None, *, hurry: asyncio.Event | None = None
    ) -> AbstractAsyncContextManager[Node]:
        """Run jobs within the block: supervisors in the caller's own event loop. Leaving it drains.

        `queues`: slots by name, or names (slots as in the settings); left out, the queues of the registered jobs.
        `hurry`, once set, ends the grace that jobs have at drain. Raises what the store raises when it cannot be
        opened, and `InvalidOption` for what are no queues with 1 to 10,000 slots.
        """
        return self._work(queues, hurry or asyncio.Event())

    @asynccontextmanager
    async def _work(
        self, queues: Mapping[str, int] | Sequence[str] | None, hurry: asyncio.Event
    ) -> AsyncIterator[Node]:
        async with self:
            node = self.node
            if node.parts.is_held:  # a test lets the jobs run
                yield node
                return
            await node.start_work(node.slots_of(queues), hurry)
            try:
                yield node
            finally:
                await node.stop_work()

    def run(
        self,
        queues: Mapping[str, int] | Sequence[str] | None = None,
        *,
        ready_file: str | os.PathLike[str] | None = None,
        wait: Duration = WAIT_S,
    ) -> None:
        """Run jobs until SIGTERM or SIGINT, blocking: uvloop, signals, drain. A second signal interrupts.

        `ready_file` is there while the node is ready to claim. `wait`: how long a server that is not there yet is
        waited for, after one line that says so; 30 s as `callboard run` does, since a node that is started before its
        server, or while that restarts, shall not end by itself. Then raises `Unavailable`, with 0 at once, and what
        opening raises otherwise. Raises `WrongThread` where an event loop runs, and on any thread but the main one,
        which alone gets signals.
        """
        from .running import run_node

        refuse_beside_main_thread("use `async with runtime.work(...)` there")
        run_node(self, queues, ready_file, seconds(wait, "wait"))

    def testing(self, *, clock: Literal["virtual"] = "virtual", seed: int = 0) -> AbstractAsyncContextManager[Testing]:
        """For tests: within the block the runtime has an empty store in memory, whatever its own is, and a clock that
        stands still. Jobs run within `run_until_idle` and `advance` only; see `Testing`. `seed`: of the jitter.

        Raises `InvalidOption` if the runtime is open.
        """
        from .testing import testing

        return testing(self, clock, seed)

    # Enqueueing.

    async def enqueue(self, name: str, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Enqueue a job by name. A name that this process does not know is taken too: another may run it."""
        return await self.enqueue_call(call_by_name(name, args, kwargs, self.jobs.get(name)))

    async def enqueue_call(self, call: Call[T]) -> Handle[T]:
        """Enqueue one bound call; committed when this returns, or part of the transaction that it was bound with."""
        return await enqueue_one(self, call)

    async def enqueue_many(
        self, calls: Iterable[Call[T]], *, tx: object | None = None, fence: Term | None = None
    ) -> list[Handle[T]]:
        """Enqueue bound calls in one batch: all of them or, when it raises, none. `tx`, `fence`: see `Job.options`."""
        return await enqueue_all(self, calls, tx, fence)

    def enqueue_call_sync(self, call: Call[T]) -> Handle[T]:
        """As `enqueue_call`, from a thread without an event loop. Raises `InvalidOption` for a call with a `tx`."""
        if call.options.tx is not None:
            raise InvalidOption("enqueue_sync: takes no tx=, whose connection belongs to another thread; await enqueue")
        return self.call_sync(lambda: self.enqueue_call(call))

    def call_sync(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of this runtime from a thread without an event loop, and wait for it.

        Goes to the loop on which the runtime is open; else to one in a thread of its own, opened on first use and
        closed at exit. Raises `WrongThread` on a thread that runs an event loop.
        """
        if self._portal is None:
            self._portal = Portal(self)
        return self._portal.call(make)

    def close_sync(self) -> None:
        """Let go of what `enqueue_sync` and its like opened; called at exit if nobody calls it before."""
        if self._portal is not None:
            self._portal.close()

    # Looking and acting.

    def handle(self, job_id: str) -> Handle[Any]:
        """A handle from an id in text. Raises `InvalidId`; whether the job exists shows when it is used."""
        return Handle(self, parse_id(job_id), None)

    async def counts(self, queue: str | None = None) -> dict[str, int]:
        """Jobs per state, of one queue or of all; every state is named. Cheap on every store.

        Raises `InvalidName` for what no queue can be called.
        """
        counts = await self.node.store.queues.counts(None if queue is None else validate_queue(queue))
        return {state.value: counts.get(state, 0) for state in JobState}

    async def cancel(self, job_id: bytes, reason: str) -> CancelAnswer:
        """Cancel one job; see `Handle.cancel`."""
        return await cancel_one(self.node, job_id, reason)

    async def stored_job(self, job_id: bytes) -> JobRow | None:
        """The stored row, or None."""
        return (await self.node.store.jobs.get([job_id]))[0]

    async def failures(self, job_id: bytes) -> list[Failure]:
        """A job's failed attempts, oldest first."""
        return await self.node.store.jobs.failures(job_id)

    async def ended(self, job_id: bytes, timeout_s: float | None) -> JobRow | None:
        """The row once it is terminal; None if there is none. Raises `ResultTimeout`."""
        return await wait_for_end(self.node, job_id, timeout_s)
