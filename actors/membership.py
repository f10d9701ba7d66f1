"""This node among others: its row, its heartbeat, and what the heartbeat brings back.

A lease that the store no longer knows as ours, or that was not renewed for nine tenths of its time, is lost: its
attempt is stopped and writes nothing. A lease under our boot id that nobody here knows, found twice in a row while no
claim was under way, came from a claim whose reply was lost, or was given up in an outage: it is handed back. In a store
that was emptied or replaced every lease is lost, and the node only says so from then on.

Nothing here waits for the storage actor once it has started: during an outage leases must be looked at in time.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from ..kernel.actor import Actor
from ..kernel.errors import CallboardError
from ..storage.messages import ForgetNodes, HandBackJobs, RegisterNode
from ..storage.ports.store import Store
from ..storage.records import HandBack, Node, Orphan
from .attempt import Stop
from .heartbeat import Beaten, Heartbeat, Missed
from .node import NodeParts
from .wakeups import Subscribe
from .worker import StopAttempts

LOOKS = 10  # at its leases within one lease's time
ROW_AFRESH_LEASES = 10  # so often a node writes its row anew: others may have taken it for dead and removed it
LOOKS_IN_DOUBT = 50  # while renewals fail: between giving a lease up and its end lies a tenth of it


@dataclass(frozen=True, slots=True)
class RenewNow:
    """Renew leases at once: something may have been asked of a running job, or some have little time left."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What the row says of the node is no longer so: those who look at it shall not have to wait for the next beat."""


@dataclass(frozen=True, slots=True)
class CheckTrust:
    """Look whether the leases can still be trusted."""


class Membership(Actor):
    """Keeps this node's leases, and acts on those that are lost, cancelled or unexplained."""

    def __init__(self, store: Store, *, node: NodeParts, version: str, report: Callable[[], bytes]) -> None:
        self._store = store
        self._node = node
        self._version = version
        self._report = report
        self._latest_report = b""
        self._suspects: list[Orphan] = []  # no set: simulations need its order
        self._trouble: str | None = None
        self._given_up: set[tuple[bytes, int]] = set()  # leases that were not renewed in time
        self._missed: str | None = None  # why the last renewal failed

    async def started(self) -> None:
        self._clock = self.context.clock
        self._storage = self.context.ref("store")
        me = self.context.ref()
        await self.context.ref("wakeups").tell(Subscribe("control", "", me, RenewNow()))
        self._latest_report = self._report()
        self._row = Node(
            boot_id=self._node.boot_id,
            host=platform.node(),
            pid=os.getpid(),
            version=self._version,
            started_at=self._clock.wall_ms(),
            report=self._latest_report,
        )
        await self._storage.ask(RegisterNode(self._row), timeout=None)
        self._registered_at = self._clock.monotonic()
        self._node.trust.began(self._registered_at)
        self._heartbeat = Heartbeat(
            self._node, self._store.heartbeats(), report=lambda: self._latest_report, tell=me.try_tell
        )
        self._heartbeat.start()
        self.context.send_after(self._node.lease_s / 10, CheckTrust())

    async def stopping(self, exit: object) -> None:
        await self._heartbeat.stop()
        with contextlib.suppress(CallboardError):  # without it the row is removed by others, later
            await self._storage.ask(ForgetNodes([self._node.boot_id]), timeout=2.0)

    async def receive(self, message: Any) -> None:
        match message:
            case Beaten():
                await self._learn(message)
            case Missed(error=error, was_reset=True):
                self._node.store_was_reset(error)
                self._give_up()
            case Missed(error=error):
                if error != self._missed:
                    self._node.log.warning("leases could not be renewed; trying again", error=error)
                self._missed = error
            case RenewNow():
                self._heartbeat.nudge()
            case StateChanged():
                self._latest_report = self._report()
                self._heartbeat.nudge()
            case CheckTrust():
                self._latest_report = self._report()
                self._check_trust()

    async def _learn(self, beaten: Beaten) -> None:
        if self._node.trust.reset is not None:
            return
        up_ms = beaten.reply.up_ms
        self._node.trust.renewed(beaten.began, None if up_ms is None else up_ms / 1000)
        self._tell_trouble(beaten.reply.trouble)
        self._keep_row(beaten.began)
        in_flight = self._node.in_flight
        tokens = {beat.id: beat.claim_token for beat in beaten.beats}
        in_flight.renewed(beaten.beats, beaten.began)
        lost = [
            job_id
            for job_id in beaten.reply.lost
            if in_flight.holds(job_id, tokens[job_id]) and not in_flight.is_completing(job_id)
        ]
        self._stop(lost, Stop.LEASE_LOST)
        self._stop(beaten.reply.cancel_requested, Stop.CANCEL)
        self._consider(beaten.reply.orphans)
        self._given_up = {one for one in self._given_up if in_flight.holds(*one)}
        if self._missed is not None:
            self._missed = None
            self._node.log.info("leases are renewed again")

    def _keep_row(self, now: float) -> None:
        if now - self._registered_at >= ROW_AFRESH_LEASES * self._node.lease_s:
            self._registered_at = now
            self._storage.try_tell(RegisterNode(replace(self._row, report=self._latest_report)))

    def _tell_trouble(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            self._node.log.error("the store is not safe as it is", trouble=trouble)
        self._trouble = trouble

    def _consider(self, orphans: list[Orphan]) -> None:
        """Hand back leases that this node gave up, and those that nothing here explains, once they were seen twice."""
        in_flight = self._node.in_flight
        unknown = [o for o in orphans if not in_flight.holds(o.id, o.claim_token)]
        known = self._suspects if not in_flight.claims_under_way else []
        certain = [o for o in unknown if o in known or (o.id, o.claim_token) in self._given_up]
        self._suspects = [o for o in unknown if o not in certain]
        if certain:
            self._node.log.warning("leases that no attempt here has; their jobs are handed back", jobs=len(certain))
            self._storage.try_tell(HandBackJobs([HandBack(o.id, o.claim_token, o.queue) for o in certain]))

    def _check_trust(self) -> None:
        """Stop attempts whose lease may be over without our having heard of it."""
        now = self._clock.monotonic()
        if self._node.trust.reset is not None:
            self._stop_all()
        else:
            untrusted = self._node.in_flight.older_than(self._node.trust.own_since(now))
            fresh = set(self._node.in_flight.tokens(untrusted)) - self._given_up
            if fresh:
                self._node.log.error("leases could not be renewed in time; their attempts stop", jobs=len(fresh))
                self._given_up |= fresh
            self._stop(untrusted, Stop.LEASE_LOST)
        looks = LOOKS_IN_DOUBT if self._node.trust.is_in_doubt(now) else LOOKS
        self.context.send_after(self._node.lease_s / looks, CheckTrust())

    def _give_up(self) -> None:
        """Let go of all that the former store had given, and tell the new one, if it listens, that nobody works here.

        The row tells `callboard doctor`; no lease depends on it.
        """
        self._stop_all()
        row = replace(self._row, report=self._report())
        self._storage.try_tell(RegisterNode(row))

    def _stop_all(self) -> None:
        self._stop(self._node.in_flight.older_than(inf), Stop.LEASE_LOST)

    def _stop(self, job_ids: list[bytes], why: Stop) -> None:
        by_queue: dict[str, list[bytes]] = {}
        for job_id in job_ids:
            queue = self._node.in_flight.queue_of(job_id)
            if queue is not None:
                by_queue.setdefault(queue, []).append(job_id)
        for queue, ids in by_queue.items():
            self.context.ref(f"queues/{queue}/worker").try_tell(StopAttempts(ids, why))
