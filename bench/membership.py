"""What fifty nodes cost a store by being there: their rows, heartbeats, roles and looks for control messages.

    python bench/membership.py [--store sqlite,postgres,redis] [--nodes 50] [--seconds 5] [--json FILE]

So many rows are registered, and beat as nodes do, but as fast as they are answered: on SQLite by one connection, where
each call has a transaction of its own, as it would have from a process of its own; on a server by four connections side
by side. A round is what a node does in a third of its lease: a heartbeat with its report, a look for control messages,
and three campaigns for the role that one of them holds, or renewals of it.

The share of the store's capacity that so many nodes take by the default settings, in per cent of one core: the server's
CPU for it; on SQLite that of this process, which is all there is (a commit waits for the disk after it has given up the
lock). Goal: below 1 per cent on each store. Beside it, by the clock on the wall: needed over borne, which other work on
the machine makes larger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from callboard import Settings
from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import encode
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from callboard.storage.role import Term
from callboard.storage.urls import store_of
from harness.ground import Files, Ground, postgres_ground, redis_ground
from harness.tell import tell

T = TypeVar("T")
STORES = ("sqlite", "postgres", "redis")
ROLE = "janitor"
GOAL_PERCENT = 1.0
CAMPAIGNS = 3  # in a round: a role's lease is a third of a job's
LEASE_S, LEADER_LEASE_S = 30.0, 10.0  # the defaults
EVERY_S = LEASE_S / 3  # a round of one node
SERVER_LANES = 4


class Crowd:
    """Simulated nodes, and what their calls took."""

    def __init__(self, count: int) -> None:
        self.boot_ids = [os.urandom(16) for _ in range(count)]
        self.report = encode(_report())
        self.took_s: defaultdict[str, list[float]] = defaultdict(list)
        self.rounds = 0
        self.term: Term | None = None

    async def register(self, store: Store) -> None:
        """All rows; the first node gets the role."""
        for number, boot_id in enumerate(self.boot_ids):
            await store.nodes.register(Node(boot_id, f"host-{number}", 4000 + number, "1.0", 0, self.report))
        [row] = await store.roles.campaign([ROLE], holder=self.boot_ids[0], lease_ms=int(LEADER_LEASE_S * 1000))
        self.term = row.term

    async def beat(self, store: Store, until: float, boot_ids: list[bytes]) -> None:
        """Rounds of these nodes, one after the other, until then."""
        beats = store.heartbeats()
        await beats.open()
        try:
            while True:
                for boot_id in boot_ids:
                    if time.monotonic() >= until:
                        return
                    await self._round(store, boot_id, beats)
        finally:
            await beats.close()

    async def _round(self, store: Store, boot_id: bytes, beats: Any) -> None:
        lease_ms = int(LEASE_S * 1000)
        await self._timed("heartbeat", beats.heartbeat([], boot_id=boot_id, lease_ms=lease_ms, report=self.report))
        await self._timed("take", store.controls.take(boot_id, limit=100))
        for _ in range(CAMPAIGNS):
            if self.term is not None and boot_id == self.boot_ids[0]:
                renewed = await self._timed(
                    "renew", store.roles.renew([self.term], lease_ms=int(LEADER_LEASE_S * 1000))
                )
                assert renewed == [True]
            else:
                campaign = store.roles.campaign([ROLE], holder=boot_id, lease_ms=int(LEADER_LEASE_S * 1000))
                [row] = await self._timed("campaign", campaign)
                assert row.term == self.term
        self.rounds += 1

    async def _timed(self, what: str, call: Awaitable[T]) -> T:
        began = time.perf_counter()
        answer = await call
        self.took_s[what].append(time.perf_counter() - began)
        return answer


def _report() -> dict[str, object]:
    """Such as a node's own."""
    settings = Settings()
    return {
        "state": "ready",
        "lease_s": settings.lease_s,
        "queues": {f"queue-{number}": 10 for number in range(4)},
        "slots": 40,
        "parked": {},
        "paused": [],
        "roles": {ROLE: 1},
        "executing": 12,
        "refused_writes": 0,
        "lost_leases": 0,
        "is_draining": False,
        "storage_reset": False,
    }


async def measure(ground: Ground, nodes: int, seconds: float) -> dict[str, Any]:
    """Figures of one store."""
    await ground.drop("membership")
    lanes = 1 if isinstance(ground, Files) else SERVER_LANES
    stores = [store_of(ground.url("membership"), clock=SystemClock(), disk_reserve_bytes=0) for _ in range(lanes)]
    crowd = Crowd(nodes)
    try:
        for store in stores:
            await store.open(migrate=True)
        await crowd.register(stores[0])
        before_s, began = _cpu_s(ground), time.monotonic()
        until = began + seconds
        await asyncio.gather(
            *(crowd.beat(store, until, crowd.boot_ids[lane::lanes]) for lane, store in enumerate(stores))
        )
        took_s = time.monotonic() - began
        used_s = _cpu_s(ground) - before_s
        rows = len(await stores[0].nodes.list())
    finally:
        for store in stores:
            await store.close()
        await ground.drop("membership")
    assert rows == nodes
    borne = crowd.rounds / took_s
    needed = nodes / EVERY_S
    return {
        "rounds_needed_per_s": needed,
        "rounds_borne_per_s": round(borne),
        "share_percent": round(used_s / crowd.rounds * needed * 100, 3),
        "needed_over_borne_percent": round(needed / borne * 100, 3),
        **{f"{what}_us": round(sum(took) / len(took) * 1e6) for what, took in sorted(crowd.took_s.items())},
    }


def _cpu_s(ground: Ground) -> float:
    """What the store's side has used: the server, or where there is none of ours this process."""
    return time.process_time() if ground.pid is None else ground.server_s()


def main() -> int:
    """Exit code 0: below the goal on each store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", default=",".join(STORES), help="some of " + ",".join(STORES))
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each store")
    parser.add_argument("--json", type=Path, default=Path("build") / "bench" / "membership.json")
    options = parser.parse_args()
    chosen = options.store.split(",")
    if unknown := [name for name in chosen if name not in STORES]:
        parser.error(f"--store: expected some of {','.join(STORES)}, found {unknown[0]!r}")
    if options.nodes < SERVER_LANES or options.seconds <= 0:
        parser.error(f"expected at least {SERVER_LANES} nodes and more than 0 seconds")
    codes = []
    for name in chosen:
        with (
            tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder,
            redis_ground() if name == "redis" else nullcontext() as redis,
        ):
            ground = redis or (postgres_ground() if name == "postgres" else Files(Path(folder)))
            figures = asyncio.run(measure(ground, options.nodes, options.seconds))
        verdict = "PASS" if figures["share_percent"] < GOAL_PERCENT else "FAIL"
        found = {"store": name, "nodes": options.nodes, **figures, "verdict": verdict}
        codes.append(tell("MEMBERSHIP", found, options.json.with_stem(f"{options.json.stem}-{name}")))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
