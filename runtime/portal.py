"""Calls into a runtime from threads that have no event loop."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ..kernel.errors import CallboardError

if TYPE_CHECKING:
    from .runtime import Runtime

T = TypeVar("T")


class WrongThread(CallboardError, RuntimeError):
    """A blocking method was called on a thread where it cannot be: it would block an event loop, say."""

    def __init__(self, found: str, instead: str) -> None:
        super().__init__(f"{found}: {instead}")


def refuse_beside_main_thread(instead: str) -> None:
    """Raises `WrongThread` on any thread but the main one, which alone gets signals, and where an event loop runs."""
    refuse_running_loop(instead)
    if threading.current_thread() is not threading.main_thread():
        raise WrongThread("this thread gets no signals, expected the main thread", instead)


def refuse_running_loop(instead: str) -> None:
    """Raises `WrongThread` if this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongThread("this thread runs an event loop, expected a plain thread", instead)


class Portal:
    """The way to the runtime's event loop: where it is open, or a loop in a daemon thread made for the purpose."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._own: _OwnLoop | None = None

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The coroutine's value. Raises what it raises, and `WrongThread`."""
        refuse_running_loop("await the async method instead")
        loop = self._loop()  # first: where it cannot be opened, no coroutine is left that nobody awaits
        return asyncio.run_coroutine_threadsafe(make(), loop).result()

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            loop = self._runtime.loop
            if loop is None:
                self._own = _OwnLoop(self._runtime)
                atexit.register(self.close)
                loop = self._own.loop
            return loop

    def close(self) -> None:
        """Close the loop made here, if one was."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            atexit.unregister(self.close)
            own.close()


class _OwnLoop:
    """The runtime, open on a loop in a daemon thread until `close`. Raises what opening it raises."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._opened: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._serve, name="callboard portal", daemon=True)
        self._thread.start()
        self.loop = self._opened.result()

    def _serve(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._end = asyncio.Event()
        try:
            async with self._runtime:
                self._opened.set_result(asyncio.get_running_loop())
                await self._end.wait()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    def close(self) -> None:
        """Close the runtime and end the thread."""
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
