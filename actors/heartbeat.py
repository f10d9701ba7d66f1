"""Renews this node's leases from a thread with an event loop and a store handle of its own.

Why a thread: a handler that blocks the node's event loop in Python code must not lose every lease of the node. What is
renewed is a snapshot (`InFlight.beats`); what the store answers goes to the membership actor on the node's loop. Where
a thread cannot be had (virtual time), the same code runs as a task on the node's loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..kernel.clock import Clock
from ..storage.errors import StorageReset
from ..storage.ports.jobs import HeartbeatStore
from ..storage.records import Beat, HeartbeatReply
from .node import NodeParts
from .watchdog import LoopWatch

LAST_S = 1.0  # for a beat under way when its node stops


@dataclass(frozen=True, slots=True)
class Beaten:
    """The store answered a renewal that began at `began` (monotonic seconds)."""

    began: float
    beats: list[Beat]
    reply: HeartbeatReply


@dataclass(frozen=True, slots=True)
class Missed:
    """A renewal failed; the next one is tried soon."""

    error: str
    was_reset: bool = False  # the store is not the one that was opened


class Heartbeat:
    """Beats every third of the lease until stopped; `nudge` asks for a beat at once."""

    def __init__(
        self,
        node: NodeParts,
        store: HeartbeatStore,
        *,
        report: Callable[[], bytes],
        tell: Callable[[Beaten | Missed], object],
    ) -> None:
        self._node = node
        self._store = store
        self._report = report
        self._tell = tell
        self._every_s = node.lease_s / 3
        self._clock: Clock = node.clock
        self._home = asyncio.get_running_loop()
        self._is_stopping = False
        self._nudged: asyncio.Event | None = None
        self._own: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first beat is sent at once."""
        if self._node.beats_in_thread:
            threading.Thread(target=self._run_in_thread, name="callboard heartbeat", daemon=True).start()
        else:
            self._task = self._home.create_task(self._run())

    def nudge(self) -> None:
        """Beat now."""
        if self._own is not None and self._nudged is not None:
            self._own.call_soon_threadsafe(self._nudged.set)

    async def stop(self) -> None:
        """End after the beat under way, or in the midst of it when the store lets it wait."""
        self._is_stopping = True
        self.nudge()
        try:
            await self._clock.limit(self._ended.wait(), LAST_S)
        except TimeoutError:
            self._interrupt()
            await self._ended.wait()

    def _interrupt(self) -> None:
        if self._own is not None and self._task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended meanwhile
                self._own.call_soon_threadsafe(self._task.cancel)

    def _run_in_thread(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._run())

    async def _run(self) -> None:
        self._own = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._nudged = asyncio.Event()
        watch = None
        if self._own is not self._home:
            watch = self._own.create_task(LoopWatch(self._node, self._home).run())
        try:
            await self._store.open()
            while not self._is_stopping:
                pause_s = await self._beat()
                await self._wait(pause_s)
            await self._store.close()
        except asyncio.CancelledError:
            self._on_home(self._ended.set)  # nobody waits for the rest
            await self._store.close()
            raise
        finally:
            if watch is not None:
                watch.cancel()
            self._on_home(self._ended.set)

    async def _beat(self) -> float:
        """Renew once; seconds until the next beat."""
        began = self._clock.monotonic()
        beats = self._node.in_flight.beats()
        try:
            reply = await self._store.heartbeat(
                beats, boot_id=self._node.boot_id, lease_ms=self._node.lease_ms, report=self._report()
            )
        except Exception as error:  # whatever it is, the next beat must follow: without it every lease is lost
            self._node.in_flight.put_back(beats)
            missed = Missed(str(error), isinstance(error, StorageReset))
            self._on_home(lambda: self._tell(missed))
            return self._every_s if missed.was_reset else self._every_s / 5
        beaten = Beaten(began, beats, reply)
        self._on_home(lambda: self._tell(beaten))
        return self._every_s - (self._clock.monotonic() - began)

    async def _wait(self, pause_s: float) -> None:
        assert self._own is not None
        assert self._nudged is not None
        timer = self._clock.call_later(max(pause_s, 0.0), self._nudged.set)
        await self._nudged.wait()
        self._nudged.clear()
        timer.cancel()

    def _on_home(self, callback: Callable[[], object]) -> None:
        if self._own is self._home:
            callback()
        elif not self._home.is_closed():
            self._home.call_soon_threadsafe(callback)
