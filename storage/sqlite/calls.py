"""Calls that wait for the writer, and the answers that go back to the event loops they came from."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .faults import translate
from .transaction import Transaction

A = TypeVar("A")
R = TypeVar("R")
Verb = Callable[[Transaction, Sequence[A]], Sequence[R]]  # many calls in one go: an answer for each, in their order


class Call:
    """A call that waits. Verb, argument and answer fit each other, as `Writer.submit` has it."""

    __slots__ = ("argument", "future", "is_new_work", "loop", "rows", "verb")

    def __init__(self, verb: Verb[Any, Any] | None, argument: Any, rows: int, is_new_work: bool) -> None:
        self.verb = verb  # None: a look at the connection outside of any transaction
        self.argument = argument
        self.rows = rows
        self.is_new_work = is_new_work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


_Answered = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Answers:
    """What a batch came to, sent to each event loop at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._by_loop: dict[asyncio.AbstractEventLoop, list[_Answered]] = {}

    def answered(self, call: Call, answer: Any) -> None:
        self._by_loop.setdefault(call.loop, []).append((call.future, answer, None))

    def failed(self, call: Call, error: BaseException) -> None:
        told = translate(error, self._path, is_new_work=call.is_new_work)
        self._by_loop.setdefault(call.loop, []).append((call.future, None, told))

    def attempt(self, call: Call, do: Callable[[], Any]) -> None:
        try:
            answer = do()
        except Exception as error:
            self.failed(call, error)
        else:
            self.answered(call, answer)

    def send(self) -> None:
        answer(self._by_loop)


def answer(by_loop: dict[asyncio.AbstractEventLoop, list[_Answered]]) -> None:
    """Wake each loop once, from any thread."""
    for loop, answered in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver, answered)


def _deliver(answered: Sequence[_Answered]) -> None:
    for future, answer, error in answered:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
