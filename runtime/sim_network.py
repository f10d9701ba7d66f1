"""The network between the machines of a simulation and their stores: it delays, loses and cuts.

Model. Machines talk to stores, not to each other. A call is a request and a reply; each takes a while of its own, so
calls overtake one another. Either may be lost, and then the caller hears `Unavailable` when its patience is over, not
knowing whether the call took effect. Now and then a request is late: it takes effect long after its sender has given it
up, repeated it, lost its leases, or crashed. What a machine sends while it is cut off is lost, or late: then it arrives
once the machine is back. A machine that stands still or has crashed cannot take back what it sent before.

A store carries out what arrives one after another, each at one moment. Wake-ups are lost and doubled without anybody
hearing of it; whoever was cut off is told to look everywhere, as by a driver that has subscribed anew.

All chance is the simulation's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from ..kernel.errors import CallboardError
from ..storage.errors import Unavailable
from ..storage.ports.store import Store
from ..storage.records import Wakeup
from ..storage.store_clock import StoreTime
from .environment import environment_here
from .sim_loop import SimLoop
from .sim_remote import Ears, Line, RemoteStore
from .sim_stores import SimStores
from .simulation import Machine


@dataclass(frozen=True, slots=True)
class Carried:
    """A call that a store carried out."""

    machine: Machine  # that had sent it
    method: str  # "jobs.claim" and the like
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    value: Any  # what it gave; None if it raised
    error: Exception | None
    sent_s: float  # when it was sent, in virtual seconds
    at_s: float  # when it took effect


class Network:
    """Made within `simulate`, at most once; whatever is opened on a machine from then on reaches its store by it.

    What is opened on no machine, and every `memory://`, stands beside its store. The chances may be changed at any
    time. Raises `CallboardError` outside of a simulation, and for chances and times that cannot be.
    """

    def __init__(
        self,
        *,
        delay_s: tuple[float, float] = (0.001, 0.02),
        loss: float = 0.0,
        late: float = 0.0,
        late_s: tuple[float, float] = (2.0, 20.0),
        timeout_s: float = 2.0,
        observe: Callable[[Carried], object] | None = None,
    ) -> None:
        loop, stores = _simulation()
        _check(loss=loss, late=late, delay_s=delay_s, late_s=late_s, timeout_s=timeout_s)
        self.delay_s = delay_s  # of a request, a reply, a wake-up: at least, at most
        self.loss = loss  # chance of each of them to be lost, and of a wake-up to come twice
        self.late = late  # chance of a request to take `late_s`
        self.late_s = late_s
        self.timeout_s = timeout_s  # a caller without an answer by then hears `Unavailable`
        self.sent = 0  # requests
        self.lost = 0  # requests, replies and wake-ups that never came
        self.came_late = 0  # requests that took effect when their sender had given them up
        self._observe = observe
        self._loop = loop
        self._chance = random.Random(f"network, {stores.seed}")
        self._cuts: dict[Machine, _Cut] = {}
        self._ears: list[tuple[Machine, Ears]] = []
        stores.wrap = self._wrap

    def cut(self, *machines: Machine, requests: bool = True, replies: bool = True) -> None:
        """Cut these off from all stores until `heal`: what they send, what is sent to them, or both."""
        for machine in machines:
            held = self._cuts[machine].held if machine in self._cuts else []
            self._cuts[machine] = _Cut(requests, replies, held)

    def heal(self, *machines: Machine) -> None:
        """Undo `cut`, for these machines, or for all."""
        for machine in machines or tuple(self._cuts):
            cut = self._cuts.pop(machine, None)
            if cut is None:
                continue
            for request in cut.held:
                self._travel(request, self._delay())
            for on, ears in self._ears:
                if on is machine:
                    self._loop.call_later(self._delay(), ears.hear, (), context=ears.context)

    def is_cut(self, machine: Machine) -> bool:
        """Whether it is cut off, in one direction at least."""
        return machine in self._cuts

    # On the machine.

    def _wrap(self, store: Store, machine: object) -> Store:
        assert isinstance(machine, Machine)
        return RemoteStore(store, _MachineLine(self, machine), StoreTime(environment_here().clock))

    async def connect(self, machine: Machine) -> None:
        """Reach the store for the first time. Raises `Unavailable` after the time-out where the machine is cut off."""
        await asyncio.sleep(self._delay() + self._delay())
        if self.is_cut(machine):
            await asyncio.sleep(self.timeout_s)
            raise _unanswered("connecting", self.timeout_s)

    async def call(self, request: _Request) -> Any:
        """What the store answers. Raises what it raises, or `Unavailable` after the time-out."""
        self.sent += 1
        self._travel(request, self._chance.uniform(*self.late_s) if self._happens(self.late) else self._delay())
        timer = self._loop.call_later(self.timeout_s, _give_up, request, self.timeout_s)
        try:
            return await request.reply
        finally:
            timer.cancel()

    def post(self, machine: Machine, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the store do something that nobody waits for."""
        self._loop.call_later(self._delay(), self._arrive_unasked, machine, function, context=Context())

    def listens(self, machine: Machine, ears: Ears) -> None:
        """Tell these when their machine is back."""
        self._ears.append((machine, ears))

    def listens_no_more(self, ears: Ears) -> None:
        """Undo `listens`."""
        self._ears = [pair for pair in self._ears if pair[1] is not ears]

    # On the way, on no machine: one that crashes or stands still does not stop what it sent.

    def _travel(self, request: _Request, delay_s: float) -> None:
        self._loop.call_later(delay_s, self._arrive, request, context=Context())

    def _arrive(self, request: _Request) -> None:
        cut = self._cuts.get(request.machine)
        if cut is not None and cut.requests and self._happens(self.late):
            cut.held.append(request)
            return
        if (cut is not None and cut.requests) or self._happens(self.loss):
            self.lost += 1
            return
        self.came_late += request.reply.done()
        value, error = _carry_out(request.function(*request.args, **request.kwargs))
        if self._observe is not None:
            self._observe(
                Carried(
                    machine=request.machine,
                    method=request.method,
                    args=request.args,
                    kwargs=request.kwargs,
                    value=value,
                    error=error,
                    sent_s=request.sent_s,
                    at_s=self._loop.time(),
                )
            )
        self._loop.call_later(self._delay(), self._answer, request, value, error, context=Context())

    def _answer(self, request: _Request, value: Any, error: Exception | None) -> None:
        cut = self._cuts.get(request.machine)
        if (cut is not None and cut.replies) or self._happens(self.loss):
            self.lost += 1
        elif request.reply.done():
            pass  # its sender has given it up
        elif error is None:
            request.reply.set_result(value)
        else:
            _fail(request.reply, error)

    def _arrive_unasked(self, machine: Machine, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        cut = self._cuts.get(machine)
        if (cut is not None and cut.requests) or self._happens(self.loss):
            self.lost += 1
        else:
            _carry_out(function())

    def deliver(self, machine: Machine, ears: Ears, wakeups: Collection[Wakeup]) -> None:
        """Let a machine hear what the store says."""
        for _ in range(2 if self._happens(self.loss) else 1):
            self._loop.call_later(self._delay(), self._hear, machine, ears, wakeups, context=ears.context)

    def _hear(self, machine: Machine, ears: Ears, wakeups: Collection[Wakeup]) -> None:
        """On the machine, since one that stands still hears it later."""
        cut = self._cuts.get(machine)
        if (cut is not None and cut.replies) or self._happens(self.loss):
            self.lost += 1
        else:
            ears.hear(wakeups)

    def _delay(self) -> float:
        return self._chance.uniform(*self.delay_s)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._chance.random() < chance


@dataclass(slots=True, eq=False)
class _Request:
    machine: Machine
    method: str
    function: Callable[..., Coroutine[Any, Any, Any]]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    reply: asyncio.Future[Any]
    sent_s: float


@dataclass(slots=True)
class _Cut:
    requests: bool
    replies: bool
    held: list[_Request] = field(default_factory=list)  # that arrive once the machine is back


class _MachineLine(Line):
    """One machine's way to one store."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self._network = network
        self._machine = machine

    async def connect(self) -> None:
        await self._network.connect(self._machine)

    async def call(
        self, method: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        loop = asyncio.get_running_loop()
        sent = [list(arg) if isinstance(arg, list) else arg for arg in args]  # the sender may change its own later
        request = _Request(self._machine, method, function, sent, kwargs, loop.create_future(), loop.time())
        return await self._network.call(request)

    def post(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._network.post(self._machine, function)

    def listens(self, ears: Ears) -> None:
        self._network.listens(self._machine, ears)

    def listens_no_more(self, ears: Ears) -> None:
        self._network.listens_no_more(ears)

    def deliver(self, ears: Ears, wakeups: Collection[Wakeup]) -> None:
        self._network.deliver(self._machine, ears, wakeups)


def _simulation() -> tuple[SimLoop, SimStores]:
    loop = asyncio.get_running_loop()
    stores = environment_here().store_of
    if not isinstance(loop, SimLoop) or not isinstance(stores, SimStores):
        raise CallboardError("a Network is part of a simulation: make it within simulate(main)")
    if stores.wrap is not None:
        raise CallboardError("this simulation has a Network already, and no machine is on two")
    return loop, stores


def _check(
    *, loss: float, late: float, delay_s: tuple[float, float], late_s: tuple[float, float], timeout_s: float
) -> None:
    for name, chance in (("loss", loss), ("late", late)):
        if not 0 <= chance <= 1:
            raise CallboardError(f"{name}: expected a chance, from 0 to 1, found {chance!r}")
    for name, (least, most) in (("delay_s", delay_s), ("late_s", late_s)):
        if not 0 <= least <= most:
            raise CallboardError(f"{name}: expected seconds, (at least, at most), found {(least, most)!r}")
    if not timeout_s > 0:
        raise CallboardError(f"timeout_s: expected more than 0 seconds, found {timeout_s!r}")


def _carry_out(call: Coroutine[Any, Any, Any]) -> tuple[Any, Exception | None]:
    """What a call on a store in memory gives or raises; it never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value, None
    except Exception as error:
        return None, error
    raise AssertionError("a store in memory waited")


def _give_up(request: _Request, after_s: float) -> None:
    if not request.reply.done():
        _fail(request.reply, _unanswered(request.method, after_s))


def _unanswered(what: str, after_s: float) -> Unavailable:
    return Unavailable(f"{what}: the network gave no answer within {after_s:g} s")


def _fail(reply: asyncio.Future[Any], error: Exception) -> None:
    reply.set_exception(error)
    reply.exception()  # a machine that crashed never asks: no word about that
