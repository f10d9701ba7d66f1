"""Faults that come again and again while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def every(seconds: float, fault: Callable[[], T]) -> Iterator[list[T]]:
    """Within the block call `fault` in a thread, that often; gives what it returned each time."""
    is_over = threading.Event()
    given: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not is_over.wait(seconds):
                given.append(fault())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="rhythm of faults")
    thread.start()
    try:
        yield given
    finally:
        is_over.set()
        thread.join()
    assert not failed, failed
