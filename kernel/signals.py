"""Signals of a node: the first SIGTERM or SIGINT drains it, a second one interrupts it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANDLED = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handle_signals(*, drain: Callable[[], object], interrupt: Callable[[], object]) -> Iterator[None]:
    """Within the block, call `drain` at the first SIGTERM or SIGINT and `interrupt` at each one after it.

    Both are called on the running event loop, between its callbacks. On leaving, the handlers that were there before
    are back. For the main thread only: elsewhere Python refuses, with `RuntimeError` or `ValueError`.
    """
    calls = _Calls(drain, interrupt)
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in HANDLED}
    on_loop = [number for number in HANDLED if _add(loop, number, calls)]
    try:
        yield
    finally:
        for number in on_loop:
            loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


class _Calls:
    """Tells the first signal from those after it, whichever of the two they are."""

    def __init__(self, drain: Callable[[], object], interrupt: Callable[[], object]) -> None:
        self._drain = drain
        self._interrupt = interrupt
        self._draining = False

    def __call__(self) -> None:
        if self._draining:
            self._interrupt()
        else:
            self._draining = True
            self._drain()


def _add(loop: asyncio.AbstractEventLoop, number: signal.Signals, calls: _Calls) -> bool:
    try:
        loop.add_signal_handler(number, calls)
    except NotImplementedError:
        # Windows: the loop cannot, so the interpreter's own handler hands over to it.
        def handler(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(calls)

        signal.signal(number, handler)
        return False
    return True
