"""A supervisor: starts its children left to right, stops them right to left, and applies the table of `restarts.py`.

Children belong to the `Supervisor` object and not to its task: when a supervisor is itself restarted, its children
(those added by `start_child` too, unless temporary) keep their mailboxes and refs. What it does is in
`supervision.py`, the outermost one's way in and out in `root.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, cast, get_args

from .actor import live
from .child import ChildInfo, ChildSpec
from .children import Child
from .clock import Clock
from .errors import ActorCrashed, ActorStopped
from .exits import Crashed, Exit
from .incarnation import Body, Incarnation, Stop
from .intensity import Backoff
from .letters import DeadLetters
from .ref import Ref
from .restarts import Strategy
from .supervision import Ended, Policy, Supervision
from .system import Observer

if TYPE_CHECKING:
    from .root import Root


class Supervisor:
    """Runs children and restarts them; the outermost one is an async context manager, others are children themselves.

    `async with` returns when every child has started (or waits for its next try) and leaves when all have stopped. When
    it gives up, the body is cancelled and `RestartIntensityExceeded` raised; when a significant child ends, the body is
    cancelled and nothing is raised.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        strategy: Strategy = "one_for_one",  # who is restarted with a child. "one_for_one"
        max_restarts: int | None = 3,  # how many restarts are borne within `within`; None: any number. 3
        within: float = 5.0,  # seconds. 5
        backoff: Backoff | None = None,  # the pause before each restart. None: at once
        clock: Clock | None = None,  # of the whole tree, given to the outermost. The machine's
        rng: random.Random | None = None,  # likewise. An unseeded one
        observer: Observer | None = None,  # likewise: hears what happens to children. The log callboard.kernel
    ) -> None:
        if strategy not in get_args(Strategy):
            raise ValueError(f"expected strategy to be one of {', '.join(get_args(Strategy))}, found {strategy!r}")
        ids = [spec.id for spec in children]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"expected ids which are unique among siblings, found twice: {', '.join(twice)}")
        if (max_restarts is not None and max_restarts < 0) or within <= 0:
            raise ValueError(f"expected max_restarts >= 0 and within > 0, found {max_restarts!r} and {within!r}")
        self.children: dict[str, Child] = {}  # by id, left to right
        self.own_restarts = 0
        self.awaited: Child | None = None  # whose next change the supervisor's own task waits for
        self._specs = tuple(children)
        self._policy = Policy(strategy, max_restarts, within, backoff)
        self._given = (clock, rng, observer)
        self._seat: Child | None = None  # this supervisor as a child; set when it becomes part of a tree
        self._root: Root | None = None

    # For its users.

    @property
    def restarts(self) -> int:
        """How many times it, and those below it, restarted a child or a group of them."""
        nested = (child.nested.restarts for child in self.children.values() if child.nested is not None)
        return self.own_restarts + sum(nested)

    @property
    def dead_letters(self) -> DeadLetters:
        """Messages of the whole tree which no actor will handle."""
        return self._place().system.letters

    def which_children(self) -> list[ChildInfo]:
        """How each child fares, and those below it, depth first; ids are paths below this supervisor."""
        found: list[ChildInfo] = []
        for child in self.children.values():
            found.append(child.info(child.spec.id))
            if child.nested is not None:
                found += (_below(child.spec.id, info) for info in child.nested.which_children())
        return found

    def ref(self, path: str) -> Ref:
        """The ref of the child at `path` below this supervisor: "tally", or "mail/dispatcher" for one further down."""
        seat = self._place()
        return Ref(f"{seat.path}/{path}" if seat.path else path, seat.system.transport)

    async def start_child(self, spec: ChildSpec) -> Ref:
        """Add a child, to the right of all others, and start it; return once it has started.

        Raises `ValueError` when the id is taken, `ActorStopped` when this supervisor does not run, and `ActorCrashed`
        when its first start fails (then it is not kept). It stays when this supervisor is restarted, unless temporary.
        """
        seat = self._place()
        if seat.state not in ("starting", "running"):
            raise ActorStopped(seat.path, "the supervisor does not run")
        taken = self.children.get(spec.id)
        if taken is not None and taken.state != "stopped":
            raise ValueError(f"expected an id which is free below {seat.path or 'the root'!r}, found {spec.id!r} taken")
        child = self._adopt(spec, seat, is_added=True)
        start = child.attend()
        child.launch()
        exit = await start
        if exit is not None:
            self._forget(child)
            if isinstance(exit, Crashed):
                raise ActorCrashed(child.path, exit.error)
            raise ActorStopped(child.path, "it was stopped while it started")
        return Ref(child.path, seat.system.transport)

    async def stop_child(self, id: str, *, within_s: float | None = None) -> None:
        """Stop a child and remove it; return when it has ended, at most its shutdown time and a second later.

        With `within_s` it has that long, if that is shorter. Raises `ValueError` when there is none of that id.
        """
        child = self.children.get(id)
        if child is None:
            raise ValueError(f"expected one of {', '.join(self.children) or 'no children'}, found {id!r}")
        if child.incarnation is not None and child.exit is None:
            end = child.attend()
            shutdown_s = child.shutdown_s()
            limit_s = shutdown_s if within_s is None else min(within_s, shutdown_s)
            child.stop(child.system.now() + limit_s, final=True)
            while await end is None:
                end = child.attend()  # that was its start, which came first
        self._forget(child)

    async def stop(self, within_s: float | None = None) -> None:
        """Stop the whole tree, from the outermost supervisor; return when all have ended.

        Each child has its own shutdown time, and all together `within_s` seconds (default: no limit but their sum);
        then those which remain are cancelled at once, and left behind after one more second.
        """
        if self._root is None:
            raise RuntimeError("only the outermost supervisor is stopped by stop(); use stop_child for one below")
        await self._root.stop(within_s)

    async def __aenter__(self) -> Supervisor:
        from .root import Root

        if self._seat is not None:
            raise RuntimeError("a Supervisor is entered once: make a new one")
        self._root = Root(self, *self._given)
        await self._root.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._root is not None
        return await self._root.close(error)

    # As a part of its tree.

    def install(self, seat: Child) -> None:
        """Become part of a tree: all children get their places, so that refs to them are valid before they start."""
        self._seat = seat
        for spec in self._specs:
            self._adopt(spec, seat)

    def shutdown_s(self) -> float:
        """The sum of its children's shutdown times, since they stop one after the other."""
        return sum(child.shutdown_s() for child in self.children.values())

    def child_changed(self, child: Child) -> None:
        """A child is ready, or ended with somebody else attending to it."""
        if child is self._seat and self._root is not None:
            self._root.changed()
            return
        seat = self._place()
        if self.awaited is child or (seat.incarnation is not None and not seat.incarnation.ready):
            seat.mailbox.wake()

    def child_ended(self, child: Child, incarnation: Incarnation, exit: Exit) -> None:
        """A child's incarnation ended."""
        if child is self._seat and self._root is not None:
            self._root.ended(exit)
        elif (own := self._place().incarnation) is not None:
            own.post(Ended(child, incarnation, exit))

    def kill_children(self) -> None:
        """Cancel everything below at once; the supervisor's own task then ends in order, and soon."""
        own = self._place().incarnation
        if own is not None:
            own.post(Stop(final=False))
        for child in self.children.values():
            if child.incarnation is not None:
                child.incarnation.kill()

    def retire(self, reason: str) -> None:
        """Let all children go for good."""
        for child in reversed(self.children.values()):
            child.retire(reason)

    async def live(self, incarnation: Incarnation) -> Exit:
        """One life of this supervisor; see `supervision.py`."""
        self._renew()
        return await Supervision(self, self._place(), incarnation, self._policy).run()

    def has(self, child: Child) -> bool:
        """Whether it is still a child of this supervisor."""
        return self.children.get(child.spec.id) is child

    def let_go(self, child: Child) -> None:
        """Leave a child stopped; one that was added is removed, others come back when this supervisor is restarted."""
        if child.is_added:
            self._forget(child)
        else:
            child.retire()

    def _renew(self) -> None:
        seat = self._place()
        for child in list(self.children.values()):
            if child.is_added and child.spec.restart == "temporary":
                self._forget(child)
        for spec in self._specs:
            if spec.id not in self.children or self.children[spec.id].is_retired():
                self._adopt(spec, seat)
        for child in self.children.values():
            child.renew()

    def _forget(self, child: Child) -> None:
        child.retire()
        if self.has(child):
            del self.children[child.spec.id]

    def _adopt(self, spec: ChildSpec, seat: Child, *, is_added: bool = False) -> Child:
        path = f"{seat.path}/{spec.id}" if seat.path else spec.id
        nested: Supervisor | None = None
        body: Body
        if isinstance(spec.factory, type) and issubclass(spec.factory, Supervisor):
            nested = cast("Callable[..., Supervisor]", spec.factory)(*spec.args, **spec.kwargs)
            if any(given is not None for given in nested._given):
                raise ValueError(f"{path!r}: clock, rng and observer belong to the outermost supervisor")
            body = nested.live
        else:
            body = live
        child = Child(spec, path, seat.system, self, body, nested, is_added=is_added)
        self.children[spec.id] = child
        if nested is not None:
            nested.install(child)
        return child

    def _place(self) -> Child:
        if self._seat is None:
            raise RuntimeError("this Supervisor does not run yet: use `async with`, or make it a child")
        return self._seat


def _below(id: str, info: ChildInfo) -> ChildInfo:
    return replace(info, id=f"{id}/{info.id}")
