"""What others ask of this node: taken from the store, or come over the link, done once, answered.

Looked for at each wake-up that names this node, and every third of a lease. A request waits in the store until it is
answered, so one whose answer was lost is taken again; it is known by its id then, and only answered. Over the link
(`node_door.py`) a request comes as a message, under the id that it has in the store if it comes there too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..kernel.actor import Actor
from ..kernel.codec import NotStorable, Undecodable, decode, encode
from ..kernel.errors import CallboardError
from ..storage.control import Control, ControlAnswer
from ..storage.errors import StorageReset
from ..storage.messages import AnswerControls
from ..storage.ports.controls import ControlStore
from ..storage.records import Wakeup
from .attempt import Stop
from .membership import StateChanged
from .node import NodeParts
from .wakeups import Heard, Subscribe
from .worker import StopAttempts

BATCH = 100
REMEMBERED = 1000  # requests that were answered
FIRST_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """Something may have been asked."""


class Hands(Protocol):
    """What the node can do besides its actors."""

    @abstractmethod
    def who(self) -> dict[str, Any]:
        """Who it is."""

    @abstractmethod
    def report_now(self) -> dict[str, Any]:
        """What its row will say next."""

    @abstractmethod
    def report(self) -> bytes:
        """The same, encoded."""

    @abstractmethod
    def queue_names(self) -> Collection[str]:
        """Queues that it works on."""

    @abstractmethod
    def begin_drain(self) -> None:
        """Drain, and end where the process is all the node's."""


class Refused(Exception):
    """What was asked cannot be done; the text is the answer."""


class Controls(Actor):
    """Answers for one node."""

    max_batch = 256

    def __init__(self, store: ControlStore, *, node: NodeParts, hands: Hands) -> None:
        self._store = store
        self._node = node
        self._hands = hands
        self._done: dict[bytes, bytes] = {}  # answers by the ids of their requests
        self._is_in_trouble = False
        self._verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ping": self._ping,
            "statistics": self._statistics,
            "pause": self._pause,
            "resume": self._resume,
            "drain": self._drain,
            "cancel": self._cancel,
        }

    async def started(self) -> None:
        self._storage = self.context.ref("store")
        me = self.context.ref()
        await self.context.ref("wakeups").tell(Subscribe("nodes", self._node.boot_id.hex(), me, Look()))
        # Nothing was asked of a node before it was there: a request whose wake-up came too early can wait so long.
        self._timer = self.context.send_after(min(FIRST_LOOK_S, self._node.lease_s / 3), Look())

    async def receive_batch(self, messages: Sequence[Any]) -> list[bytes | None]:
        answers = [self._once(message) if isinstance(message, Control) else None for message in messages]
        if None in answers:  # a request over the link says nothing of the store, which may be away
            await self._look()
            self._timer.cancel()
            self._timer = self.context.send_after(self._node.lease_s / 3, Look())
        return answers

    async def _look(self) -> None:
        try:
            asked = await self._store.take(self._node.boot_id, limit=BATCH)
            if asked:
                answers = [ControlAnswer(control.id, self._once(control)) for control in asked]
                await self._storage.ask(AnswerControls(answers), timeout=self._node.lease_s / 3)
        except StorageReset as error:
            self._node.store_was_reset(str(error))
            return
        except CallboardError as error:
            if not self._is_in_trouble:
                self._node.log.warning("what is asked of this node could not be looked for", error=str(error))
            self._is_in_trouble = True
            return
        self._is_in_trouble = False

    def _once(self, control: Control) -> bytes:
        """Do what is asked, unless that was done; the answer."""
        answer = self._done.get(control.id)
        if answer is None:
            answer = self._done[control.id] = self._answer_to(control)
            if len(self._done) > REMEMBERED:
                del self._done[next(iter(self._done))]
        return answer

    def _answer_to(self, control: Control) -> bytes:
        """Do it, and say how that went."""
        self._node.log.info("asked by control message", verb=control.verb)
        try:
            verb = self._verbs.get(control.verb)
            if verb is None:
                raise Refused(f"no such verb {control.verb!r:.80}: this node understands {', '.join(self._verbs)}")
            return encode({"ok": verb(_body(control))})
        except Refused as refusal:
            return encode({"error": str(refusal)})
        except NotStorable as error:
            return encode({"error": f"{control.verb}: the answer cannot be sent: {error}"})

    def _ping(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._hands.who()

    def _statistics(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._hands.who() | self._hands.report_now()

    def _pause(self, body: dict[str, Any]) -> dict[str, Any]:
        self._node.paused |= self._queues(body)
        self.context.ref("membership").try_tell(StateChanged())
        return {"paused": sorted(self._node.paused)}

    def _resume(self, body: dict[str, Any]) -> dict[str, Any]:
        self._node.paused -= self._queues(body)
        self.context.ref("wakeups").try_tell(Heard({Wakeup("work", "")}))
        self.context.ref("membership").try_tell(StateChanged())
        return {"paused": sorted(self._node.paused)}

    def _drain(self, body: dict[str, Any]) -> dict[str, Any]:
        self._hands.begin_drain()
        return {"executing": len(self._node.in_flight)}

    def _cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        """Stop attempts that are here; that their jobs are cancelled is for the store to say."""
        ids = body.get("jobs")
        if not isinstance(ids, list) or not all(isinstance(id, bytes) for id in ids):
            raise Refused(f"cancel: expected jobs, a list of ids of 16 bytes, found {ids!r:.80}")
        of_queue: dict[str, list[bytes]] = {}
        for id in ids:
            queue = self._node.in_flight.queue_of(id)
            if queue is not None:
                of_queue.setdefault(queue, []).append(id)
        for queue, here in of_queue.items():
            self.context.ref(f"queues/{queue}/worker").try_tell(StopAttempts(here, Stop.CANCEL))
        return {"stopped": [id for here in of_queue.values() for id in here]}

    def _queues(self, body: dict[str, Any]) -> set[str]:
        """Those that are named, or all."""
        mine = set(self._hands.queue_names())
        named = body.get("queues")
        if named is None:
            return mine
        if not isinstance(named, list) or not all(isinstance(queue, str) for queue in named):
            raise Refused(f"expected queues, a list of names, found {named!r:.80}")
        if unknown := sorted(set(named) - mine):
            raise Refused(f"no queue {unknown[0]!r} here: this node works on {', '.join(sorted(mine))}")
        return set(named)


def _body(control: Control) -> dict[str, Any]:
    if not control.body:
        return {}
    try:
        body = decode(control.body)
    except Undecodable as error:
        raise Refused(f"{control.verb}: the request cannot be read: {error}") from None
    if not isinstance(body, dict):
        raise Refused(f"{control.verb}: expected a mapping, found {body!r:.80}")
    return body
