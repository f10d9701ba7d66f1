"""The outermost supervisor's way in and out: it binds a tree to the body of an `async with`.

A tree that ends by itself cancels the task that entered, as `asyncio.timeout` does: once, and taken back on the way
out. No cancel scope spans the body, since those must be left in the task that entered them and in order; a service
may open a supervisor in one task and close it in another.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import anyio

from .child import ChildSpec
from .children import Child
from .clock import Clock, SystemClock
from .exits import Crashed, Exit
from .system import Observer, System

if TYPE_CHECKING:
    from .supervisor import Supervisor


class Root:
    """Owns the tree below `supervisor`: starts it, waits for its end, and cancels the body if that comes by itself."""

    def __init__(
        self, supervisor: Supervisor, clock: Clock | None, rng: random.Random | None, observer: Observer | None
    ) -> None:
        self._system = System(clock or SystemClock(), rng or random.Random(), observer)
        spec = ChildSpec(type(supervisor), id="root")
        self._seat = Child(spec, "", self._system, supervisor, supervisor.live, supervisor)
        supervisor.install(self._seat)
        self._up: asyncio.Future[None] = self._system.loop.create_future()
        self._over: asyncio.Future[Exit] = self._system.loop.create_future()
        self._host: asyncio.Task[object] | None = None  # runs the body
        self._cancelling = 0  # how often the host was being cancelled when it entered
        self._cancelled_host = False
        self._told_to_stop = False

    async def open(self) -> None:
        """Start the tree. Raises what `close` raises when it ends meanwhile."""
        self._seat.launch()
        try:
            await self._up
        except BaseException:
            await self._end(None)
            raise
        if self._over.done():
            self._retire()
            self._raise_failure()
        self._host = asyncio.current_task()
        if self._host is not None:
            self._cancelling = self._host.cancelling()
            if self._over.done():
                self._cancel_host()

    async def close(self, error: BaseException | None) -> bool:
        """Stop the tree; True when `error`, which the body raised, is the cancellation that came from here."""
        await self._end(None)
        is_ours = False
        host = self._host
        is_host = asyncio.current_task() is host
        if self._cancelled_host and host is not None and is_host:
            is_ours = host.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)
        self._raise_failure()
        return is_ours

    async def stop(self, within_s: float | None) -> None:
        """Stop the tree; the body goes on."""
        await self._end(None if within_s is None else self._system.now() + within_s)

    def changed(self) -> None:
        """The tree has started."""
        if not self._up.done():
            self._up.set_result(None)

    def ended(self, exit: Exit) -> None:
        """The tree has ended."""
        if not self._over.done():
            self._over.set_result(exit)
        self.changed()
        if not self._told_to_stop:
            self._cancel_host()

    def _cancel_host(self) -> None:
        if self._host is not None and not self._host.done():
            self._cancelled_host = True
            self._host.cancel()

    async def _end(self, deadline: float | None) -> None:
        # The tree is this task's to stop whatever happens to it: so the wait is shielded. A second, native cancellation
        # makes it short instead of cutting it off, and is raised afterwards.
        self._told_to_stop = True
        if not self._over.done():
            longest = self._system.now() + self._seat.shutdown_s()
            self._seat.stop(longest if deadline is None else min(deadline, longest), final=True)
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not self._over.done():
                try:
                    await asyncio.wait([self._over])
                except asyncio.CancelledError as error:
                    cancelled = error
                    assert self._seat.incarnation is not None
                    self._seat.incarnation.kill()
        self._retire()
        if cancelled is not None:
            raise cancelled

    def _retire(self) -> None:
        self._seat.retire()
        self._system.close()

    def _raise_failure(self) -> None:
        exit = self._over.result()
        if isinstance(exit, Crashed):
            raise exit.error
