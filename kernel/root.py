"""The outermost supervisor's way in and out: it binds a tree to the body of an `async with`."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from .child import Child, ChildSpec
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
        self._scope = anyio.CancelScope()
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
        self._scope.__enter__()

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Stop the tree; True when what the body raised is its own cancellation."""
        try:
            await self._end(None)
        finally:
            swallow = bool(self._scope.__exit__(kind, error, traceback))
        self._raise_failure()
        return swallow

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
            self._scope.cancel()

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
