"""Calls into a runtime from threads that have no event loop."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..kernel.errors import CallboardError

if TYPE_CHECKING:
    from .runtime import Runtime

T = TypeVar("T")

OPEN_S = 60.0


class WrongThread(CallboardError, RuntimeError):
    """A _sync method was called on a thread that runs an event loop; it would have blocked that loop."""

    def __init__(self) -> None:
        super().__init__("this thread runs an event loop: expected a plain thread; await the async method instead")


class Portal:
    """The way to the runtime's event loop: where it is open, or a loop in a daemon thread made for the purpose."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._own: asyncio.AbstractEventLoop | None = None

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The coroutine's value. Raises what it raises, and `WrongThread`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(make(), self._loop()).result()
        raise WrongThread

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            node = self._runtime._node
            if node is not None:
                return node.loop
            self._own = asyncio.new_event_loop()
            thread = threading.Thread(target=self._serve, args=(self._own,), name="callboard portal", daemon=True)
            thread.start()
            asyncio.run_coroutine_threadsafe(self._runtime.__aenter__(), self._own).result(OPEN_S)
            atexit.register(self.close)
            return self._own

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    def close(self) -> None:
        """Close the loop made here, if one was."""
        own, self._own = self._own, None
        if own is not None and own.is_running():
            atexit.unregister(self.close)
            asyncio.run_coroutine_threadsafe(self._runtime.__aexit__(None, None, None), own).result(OPEN_S)
            own.call_soon_threadsafe(own.stop)
