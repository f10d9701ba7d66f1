"""A store as a machine of a simulation sees it: each call goes over the network, and so does each wake-up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from ..storage.ports.jobs import HeartbeatStore
from ..storage.ports.store import Store
from ..storage.ports.wakeups import WakeupStore
from ..storage.records import Beat, Finding, HeartbeatReply, Wakeup
from ..storage.store_clock import StoreTime

HALF_MS = 0.5  # what a time in whole milliseconds lacks, on average


class Line(Protocol):
    """One machine's way to one store."""

    @abstractmethod
    def connect(self) -> Awaitable[None]:
        """Reach the store for the first time."""

    @abstractmethod
    def call(
        self, method: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """Have the store call `function`, and give what that gives."""

    @abstractmethod
    def post(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the store call `function`; nobody hears whether it did."""

    @abstractmethod
    def listens(self, ears: Ears) -> None:
        """Tell `ears` to look everywhere whenever the machine was cut off and is back."""

    @abstractmethod
    def listens_no_more(self, ears: Ears) -> None:
        """Undo `listens`."""

    @abstractmethod
    def deliver(self, ears: Ears, wakeups: Collection[Wakeup]) -> None:
        """Let `ears` hear what the store says."""


class RemoteStore(Store):
    """`inner` at the other end of `line`. Its clock is known here as that of a server is: from some of its replies."""

    transactions = None

    def __init__(self, inner: Store, line: Line, time: StoreTime) -> None:
        self.is_durable = inner.is_durable
        self.is_shared = inner.is_shared
        self.is_embedded = inner.is_embedded
        self.commits_together = inner.commits_together
        self._inner = inner
        self._line = line
        self._time = time
        self._replies = replies = _Replies(line, time, inner.wall_ms)
        self.wall_ms = time.wall_ms
        self.jobs: Any = _Port("jobs", inner.jobs, replies)
        self.queues: Any = _Port("queues", inner.queues, replies)
        self.nodes: Any = _Port("nodes", inner.nodes, replies)
        self.roles: Any = _Port("roles", inner.roles, replies)
        self.controls: Any = _Port("controls", inner.controls, replies)
        self.wakeups = _RemoteWakeups(inner.wakeups, line)

    async def open(self, *, migrate: bool = True) -> None:
        asked = self._time.asks()
        await self._line.connect()
        self._time.told(self._inner.wall_ms() + HALF_MS, asked)
        await self._inner.open(migrate=migrate)

    async def close(self) -> None:
        await self.wakeups.close()
        await self._inner.close()

    def heartbeats(self) -> HeartbeatStore:
        return _RemoteHeartbeat(self._inner.heartbeats(), self._replies)

    async def examine(self) -> Sequence[Finding]:
        found: Sequence[Finding] = await self._line.call("examine", self._inner.examine, (), {})
        return found


class _Replies:
    """Calls over a line, some of which bring the store's time back."""

    def __init__(self, line: Line, time: StoreTime, store_ms: Callable[[], int]) -> None:
        self._line = line
        self._time = time
        self._store_ms = store_ms

    def call(
        self, method: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """As `Line.call`; it asks for the time when that is due."""
        call = self.ask if self._time.is_due else self._line.call
        return call(method, function, args, kwargs)

    async def ask(
        self, method: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """As `Line.call`; it asks for the time."""
        told: list[int] = []

        async def tell_time(*args: Any, **kwargs: Any) -> Any:
            told.append(self._store_ms())
            return await function(*args, **kwargs)

        asked = self._time.asks()
        value = await self._line.call(method, tell_time, args, kwargs)
        self._time.told(told[-1] + HALF_MS, asked)
        return value


class _Port:
    """Any port all of whose methods are calls."""

    def __init__(self, name: str, inner: Any, replies: _Replies) -> None:
        self._name = name
        self._inner = inner
        self._replies = replies

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        return partial(self._call, f"{self._name}.{method}", getattr(self._inner, method))

    def _call(self, method: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        return self._replies.call(method, function, args, kwargs)


class _RemoteHeartbeat(HeartbeatStore):
    def __init__(self, inner: HeartbeatStore, replies: _Replies) -> None:
        self._inner = inner
        self._replies = replies

    async def open(self) -> None:
        await self._inner.open()

    async def heartbeat(self, beats: Sequence[Beat], *, boot_id: bytes, lease_ms: int, report: bytes) -> HeartbeatReply:
        options = {"boot_id": boot_id, "lease_ms": lease_ms, "report": report}
        reply: HeartbeatReply = await self._replies.ask("heartbeat", self._inner.heartbeat, (beats,), options)
        return reply

    async def close(self) -> None:
        await self._inner.close()


class Ears:
    """Who listens on a machine."""

    def __init__(self, on_wakeups: Callable[[Collection[Wakeup]], None]) -> None:
        self.context = copy_context()  # of the machine: one that has crashed hears nothing
        self._on_wakeups: Callable[[Collection[Wakeup]], None] | None = on_wakeups

    def hear(self, wakeups: Collection[Wakeup]) -> None:
        """A wake-up has arrived."""
        if self._on_wakeups is not None:
            self._on_wakeups(wakeups)

    def close(self) -> None:
        """Hear nothing more, whatever is under way."""
        self._on_wakeups = None


class _RemoteWakeups(WakeupStore):
    joins_inserts = False

    def __init__(self, inner: WakeupStore, line: Line) -> None:
        self._inner = inner
        self._line = line
        self._ears: Ears | None = None

    async def listen(self, on_wakeups: Callable[[Collection[Wakeup]], None]) -> None:
        self._stop_listening()
        ears = self._ears = Ears(on_wakeups)
        self._line.listens(ears)
        await self._inner.listen(partial(self._line.deliver, ears))

    async def announce(self, wakeups: Collection[Wakeup]) -> None:
        self._line.post(partial(self._inner.announce, wakeups))

    def take_along(self, wakeups: Collection[Wakeup]) -> None:
        """Nothing: see `joins_inserts`."""

    async def close(self) -> None:
        self._stop_listening()
        await self._inner.close()

    def _stop_listening(self) -> None:
        if self._ears is not None:
            self._line.listens_no_more(self._ears)
            self._ears.close()
            self._ears = None
