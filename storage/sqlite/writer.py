"""The one thread of a process that writes: it takes everything that waits and commits it as one transaction.

A call is handed in as a verb and its argument and answered through a bare future, after the commit. While one commit
runs, the next batch gathers: one caller alone waits for one commit, a thousand share one. Heartbeats go to the front.

What happens when a part fails:
- a batch statement touches fewer rows than it names (a lost lease, a repeated insert): `Shortfall`; the transaction is
  rolled back and done again row by row, which tells which;
- anything else fails: rolled back, then every call has a transaction of its own, so that only the failing one fails;
- a caller is cancelled: its future is done, the commit goes on, the answer is dropped;
- the disk is full: the log is folded into the file, which makes room for completions, and they are tried again;
- the lock is not to be had, the file is gone: every call of the batch is answered with that error.

Why batch statements: each step of a statement gives up the interpreter and waits to get it back, up to 5 ms when a
handler is busy. Row by row, claim and finish of 100 jobs held the file's lock for 724 ms beside such a handler; with
batch statements 72 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ...kernel.clock import Clock
from ..errors import StorageError, Unavailable
from .calls import Answers, Call, Verb, answer
from .connection import Opened
from .faults import is_full, translate
from .transaction import Shortfall, Transaction

A = TypeVar("A")
R = TypeVar("R")

_MOST_ROWS = 2000  # in one merged transaction: it bounds how long a heartbeat waits behind one


class Writer:
    """Owns the writing connection."""

    def __init__(self, clock: Clock, *, path: str, refusal: Callable[[], StorageError | None]) -> None:
        self._clock = clock
        self._path = path
        self._refusal = refusal  # why new work is not taken, asked before a transaction begins
        self._inbox: SimpleQueue[Call | None] = SimpleQueue()
        self._urgent: deque[Call] = deque()
        self._waiting: deque[Call] = deque()
        self._is_closing = False
        self._has_ended = True
        self._thread: threading.Thread | None = None
        self._known_queues: set[str] = set()

    # Called from event loops.

    async def start(self, connect: Callable[[], Opened]) -> Opened:
        """Start the thread, which opens its own connection; gives what `connect` gave or raises what it raised."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Opened] = loop.create_future()
        self._is_closing = self._has_ended = False
        self._thread = threading.Thread(
            target=self._run, args=(connect, loop, opened), name="callboard-sqlite", daemon=True
        )
        self._thread.start()
        try:
            return await asyncio.shield(opened)
        except BaseException:
            await self.stop()
            raise

    def submit(
        self, verb: Verb[A, R], argument: A, *, rows: int, is_urgent: bool = False, is_new_work: bool = False
    ) -> asyncio.Future[R]:
        """Hand in a call; the future belongs to the running loop and is answered after the commit."""
        return self._hand_in(Call(verb, argument, rows, is_new_work), is_urgent=is_urgent)

    def look(self, at: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        """Ask the writing connection something that needs no transaction."""
        return self._hand_in(Call(None, at, 0, False), is_urgent=False)

    async def stop(self) -> None:
        """Answer what was handed in, then close the connection."""
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        self._is_closing = True
        self._inbox.put(None)
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _hand_in(self, call: Call, *, is_urgent: bool) -> asyncio.Future[Any]:
        if self._is_closing or self._thread is None:
            call.future.set_exception(self._not_open())
            return call.future
        if is_urgent:
            self._urgent.append(call)
            self._inbox.put(None)
        else:
            self._inbox.put(call)
        if self._has_ended:  # between the question above and here: nobody else will look
            self._refuse_what_is_left()
        return call.future

    # The thread.

    def _run(
        self, connect: Callable[[], Opened], loop: asyncio.AbstractEventLoop, opened: asyncio.Future[Opened]
    ) -> None:
        try:
            found = connect()
        except BaseException as error:
            self._has_ended = True
            answer({loop: [(opened, None, translate(error, self._path, is_opening=True))]})
            return
        answer({loop: [(opened, found, None)]})
        try:
            while self._gather():
                self._serve(found, self._next_batch())
        finally:
            self._is_closing = self._has_ended = True
            found.close()
            self._refuse_what_is_left()

    def _refuse_what_is_left(self) -> None:
        """Answer calls that came when the thread had ended, so that none waits for ever."""
        answers = Answers(self._path)
        with contextlib.suppress(Empty):
            while True:
                self._take_in(self._inbox.get_nowait())
        for left in (self._urgent, self._waiting):
            while left:
                answers.failed(left.popleft(), self._not_open())
        answers.send()

    def _not_open(self) -> Unavailable:
        return Unavailable(f"{self._path} is not open")

    def _gather(self) -> bool:
        """Wait until something is there, and take in all of it; False: closing, and nothing is left."""
        if not self._waiting and not self._urgent:
            if self._is_closing and self._inbox.empty():
                return False
            self._take_in(self._inbox.get())
        with contextlib.suppress(Empty):
            while True:
                self._take_in(self._inbox.get_nowait())
        return True

    def _take_in(self, call: Call | None) -> None:
        if call is not None:
            self._waiting.append(call)

    def _next_batch(self) -> list[Call]:
        batch: list[Call] = []
        while self._urgent:
            batch.append(self._urgent.popleft())
        if batch:
            return batch  # alone, so that it is answered after a small commit
        rows = 0
        while self._waiting and (rows == 0 or rows + self._waiting[0].rows <= _MOST_ROWS):
            call = self._waiting.popleft()
            rows += call.rows
            batch.append(call)
        return batch

    def _serve(self, opened: Opened, batch: Sequence[Call]) -> None:
        answers = Answers(self._path)
        calls: list[Call] = []
        for call in batch:
            if call.verb is None:
                answers.attempt(call, lambda call=call: call.argument(opened.connection))  # type: ignore[misc]
            elif call.is_new_work and (refusal := self._refusal()) is not None:
                answers.failed(call, refusal)
            else:
                calls.append(call)
        if calls:
            self._write(opened, calls, answers)
        answers.send()

    def _write(self, opened: Opened, calls: Sequence[Call], answers: Answers) -> None:
        try:
            opened.check_identity()
            found = self._attempt(opened, calls)
        except _NotBegun as error:
            for call in calls:
                answers.failed(call, error.reason)
        except Exception as error:
            if len(calls) == 1:
                answers.failed(calls[0], error)
                return
            for call in calls:
                self._write(opened, [call], answers)
        else:
            for call, answer in zip(calls, found, strict=True):
                answers.answered(call, answer)

    def _attempt(self, opened: Opened, calls: Sequence[Call]) -> list[Any]:
        try:
            return self._transact(opened, calls, is_careful=False)
        except Shortfall:
            return self._transact(opened, calls, is_careful=True)
        except sqlite3.Error as error:
            if not is_full(error) or all(call.is_new_work for call in calls):
                raise
            opened.fold_log()
            return self._transact(opened, calls, is_careful=True)

    def _transact(self, opened: Opened, calls: Sequence[Call], *, is_careful: bool) -> list[Any]:
        connection = opened.connection
        try:
            opened.turns.begin(connection)
        except Exception as error:
            raise _NotBegun(error) from error
        transaction = Transaction(
            connection,
            now=self._clock.wall_ms(),
            lease_now=int(self._clock.monotonic() * 1000),
            is_careful=is_careful,
            known_queues=self._known_queues,
        )
        found: list[Any] = []
        try:
            for verb, group in groupby(calls, key=lambda call: call.verb):
                assert verb is not None
                found += verb(transaction, [call.argument for call in group])
            transaction.settle()
            connection.execute("COMMIT")
        except BaseException:
            opened.roll_back()
            raise
        self._known_queues |= transaction.new_queues
        opened.turns.ended()
        opened.log.flush()
        return found


class _NotBegun(Exception):
    """The transaction could not begin, so trying its calls one by one is of no use."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason
