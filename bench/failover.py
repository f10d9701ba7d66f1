"""How long a role is without a holder: its node killed, its node stopped in order, its node standing still.

    python bench/failover.py [--store sqlite] [--rounds 20] [--lease 2] [--nodes 3] [--refs 50] [--json FILE]

Each round the node that runs the singleton is killed, and another is started in its place; then as many rounds in which
it gets SIGTERM. Times are those that the singletons themselves note. At last the holder is stopped (SIGSTOP) for three
leases and continued: it tries 500 writes with its old term. Exit code 0 only if every round kept its limit (a lease and
a third; 200 ms), terms only grew, and not one of the late writes was accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from callboard import Actor, ActorStopped, AskTimeout, ChildSpec, Ref, Runtime
from harness.places import PLACES, Place
from harness.processes import Proc, ProcPool
from harness.records import Record, read_records
from harness.tell import tell

NODE = Path(__file__).parent / "harness" / "leading_node.py"
WITHIN_S = 60.0
LOOK_S = 0.005
HANDOVER_S = 0.2
WRITES = 500


class Cluster:
    """Nodes on one store, and what their singletons noted."""

    def __init__(self, pool: ProcPool, records: Path) -> None:
        self._pool = pool
        self._records = records
        self._nodes: dict[int, Proc] = {}

    def start(self, *args: str) -> Proc:
        """A further node; it need not be ready."""
        node = self._pool.spawn(NODE, *args)
        self._nodes[node.pid] = node
        return node

    def noted(self, *what: str, after: int = 0, times: int = 1) -> list[Record]:
        """What was noted in terms later than `after`, once that were so many records."""
        ends = time.monotonic() + WITHIN_S
        while True:
            found = [record for record in read_records(self._records, *what) if record.token > after]
            if len(found) >= times:
                return found
            if time.monotonic() > ends:
                raise SystemExit(f"bench: not noted within {WITHIN_S:g} s: {' or '.join(what)} after term {after}")
            time.sleep(LOOK_S)

    def leads_within(self, seconds: float, *, after: int) -> bool:
        """Whether somebody leads in a later term by then."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if any(record.token > after for record in read_records(self._records, "leads")):
                return True
            time.sleep(LOOK_S)
        return False

    def leader(self, *, after: int = 0) -> tuple[Proc, Record]:
        """The node that leads in a term later than `after`, once there is one."""
        record = self.noted("leads", after=after)[-1]
        return self._nodes[record.pid], record


def killed(cluster: Cluster, rounds: int) -> list[float]:
    """Seconds from each kill to the next holder's first word."""
    took = []
    for _ in range(rounds):
        holder, led = cluster.leader()
        cluster.start().wait_ready()
        at = holder.signal(signal.SIGKILL)
        took.append(cluster.leader(after=led.token)[1].at - at)
    return took


def stopped(cluster: Cluster, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds to the next holder's first word: from the signal, and from the last one's last word."""
    from_signal, from_end = [], []
    for _ in range(rounds):
        holder, led = cluster.leader()
        cluster.start().wait_ready()
        at = holder.signal(signal.SIGTERM)
        follows = cluster.leader(after=led.token)[1]
        [left] = [record for record in cluster.noted("left") if record.token == led.token]
        from_signal.append(follows.at - at)
        from_end.append(follows.at - left.at)
        if holder.wait() != 0:
            raise SystemExit(f"bench: a node that was stopped ended badly:\n{holder.tail()}")
    return from_signal, from_end


async def refs_back(cluster: Cluster, rounds: int, url: str, link: str | None) -> list[float]:
    """Seconds from each kill until a ref that was held all the while is answered in a later term."""
    client = Runtime(url, link=link)
    client.singleton(ChildSpec(Actor, id="scribe"))
    took = []
    async with client:
        held = client.ref("scribe")
        for _ in range(rounds):
            holder, led = cluster.leader()
            cluster.start().wait_ready()
            at = holder.signal(signal.SIGKILL)
            while await term_of(held) <= led.token:
                pass
            took.append(time.monotonic() - at)
    return took


async def term_of(held: Ref) -> int:
    """The term that answers; 0 for none in time."""
    try:
        answered = await held.ask("who?", timeout=0.25)
    except (AskTimeout, ActorStopped):
        return 0
    assert isinstance(answered, list)
    return int(answered[0])


def stood_still(cluster: Cluster, lease_s: float, url: str) -> dict[str, int]:
    """What came of the writes of a holder that was stopped for three leases and continued."""
    writer = cluster.start(str(WRITES)).wait_ready()
    _, led = cluster.leader()
    cluster.noted("accepted", times=20)
    cluster.start().wait_ready()
    began = writer.signal(signal.SIGSTOP)
    while not cluster.leads_within(2 * lease_s, after=led.token):
        writer.signal(signal.SIGCONT)  # it has the lock of the SQLite file in its hand, and holds up everybody
        time.sleep(0.1)
        began = writer.signal(signal.SIGSTOP)
    before = asyncio.run(kept(url))
    time.sleep(max(3 * lease_s - (time.monotonic() - began), 0.0))
    continued = writer.signal(signal.SIGCONT)
    refused = cluster.noted("refused", times=WRITES)
    trusted = [record for record in cluster.noted("trusted") if record.at > continued]
    return {
        "late_writes": len(refused),
        "late_accepted": asyncio.run(kept(url)) - before,
        # One may have been let through just before it was stopped, and noted after.
        "late_trusted": max(len(trusted) - 1, 0),
    }


async def kept(url: str) -> int:
    """How many jobs were written because of a term."""
    async with Runtime(url) as runtime:
        return sum((await runtime.counts("kept")).values())


def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """From an empty store to the verdict."""
    place: Place = PLACES[options.store](folder)
    asyncio.run(place.prepare())
    link = None
    if options.refs and options.store != "redis":
        link = PLACES["redis"](folder).url
    environment = {"CALLBOARD_STORE": place.url, "CALLBOARD_LEADER_LEASE": f"{options.lease:g}s"}
    if link is not None:
        environment["NODE_LINK"] = link
    records = folder / "records"
    with ProcPool(folder, NODE_RECORDS=str(records), **environment) as pool:
        cluster = Cluster(pool, records)
        for node in [cluster.start() for _ in range(options.nodes)]:
            node.wait_ready()
        after_kill = killed(cluster, options.rounds)
        by_ref = asyncio.run(refs_back(cluster, options.refs, place.url, link)) if options.refs else []
        from_signal, from_end = stopped(cluster, options.rounds)
        terms = [record.token for record in sorted(cluster.noted("leads"), key=lambda record: record.at)]
    records = folder / "late"
    with ProcPool(folder, NODE_RECORDS=str(records), **environment) as pool:
        late = stood_still(Cluster(pool, records), options.lease, place.url)
    limit_s = math.ceil(options.lease * 4 / 3 * 10) / 10
    passed = {
        "killed_in_time": sum(took <= limit_s for took in after_kill),
        "handed_over_in_time": sum(took <= HANDOVER_S for took in from_end),
    }
    is_passed = set(passed.values()) == {options.rounds} and terms == sorted(set(terms))
    is_passed = is_passed and late == {"late_writes": WRITES, "late_accepted": 0, "late_trusted": 0}
    return {
        "store": options.store,
        "lease_s": options.lease,
        "rounds": options.rounds,
        **passed,
        "failover_max_s": round(max(after_kill), 3),
        "failover_median_s": round(statistics.median(after_kill), 3),
        "handover_max_ms": round(max(from_end) * 1000, 1),
        "handover_median_ms": round(statistics.median(from_end) * 1000, 1),
        "sigterm_to_next_max_ms": round(max(from_signal) * 1000, 1),
        **late,
        "refs_back": len(by_ref),
        "refs_back_max_s": round(max(by_ref, default=0.0), 3),
        "failovers_s": [round(took, 3) for took in after_kill],
        "handovers_ms": [round(took * 1000, 1) for took in from_end],
        "verdict": "PASS" if is_passed else "FAIL",
    }


def main() -> int:
    """Exit code 0: passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=sorted(PLACES), default="sqlite")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--lease", type=float, default=2.0, help="seconds; the default of nodes is 10")
    parser.add_argument("--refs", type=int, default=0, help="kills with a ref held from outside, by a link")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="[build/bench/failover-STORE.json]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="failover-") as folder:
        found = run(options, Path(folder))
    return tell("FAILOVER", found, options.json or Path("build") / "bench" / f"failover-{options.store}.json")


if __name__ == "__main__":
    sys.exit(main())
