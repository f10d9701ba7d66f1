"""Peers, each in an environment of its own below build/, in turn with ours: A B A B, the same work on the same server.

The environment is made by the bench, when first needed, of the versions that are written here.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .figures import WIDTH, say_milliseconds
from .ground import Files, Ground, Postgres, Redis
from .lifecycle import APART_S, TRIES, WARM, drain, enqueue, latency_from_outside, runtime_of
from .processes import BENCH

_ROUNDS = 2
_ENVIRONMENTS = BENCH.parent / "build" / "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another way to run jobs on the same store."""

    name: str
    requirements: tuple[str, ...]
    jobs: int  # enough for some seconds
    processes: tuple[int, ...]

    def python(self) -> Path:
        """The interpreter of its environment, which is made when it is not there."""
        folder = _ENVIRONMENTS / f"{self.name}-{sys.version_info.major}.{sys.version_info.minor}"
        python, stamp = folder / "bin" / "python", folder / "installed"
        wanted = "\n".join(self.requirements)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            print(f"bench: installing {', '.join(self.requirements)} below build/", file=sys.stderr, flush=True)
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", *self.requirements]
            done = subprocess.run(pip, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"bench: {self.name} could not be installed:\n{done.stderr}")
            stamp.write_text(wanted, encoding="utf-8")
        return python

    def run(self, *arguments: object) -> dict[str, Any]:
        """What its script prints."""
        command = [str(self.python()), str(BENCH / f"peer_{self.name}.py"), *map(str, arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


HUEY = Peer("huey", ("huey==3.5.4",), 10_000, (1,))
PGQUEUER = Peer("pgqueuer", ("pgqueuer==1.6.0", "asyncpg", "uvloop"), 100_000, (1, 2))
DRAMATIQ = Peer("dramatiq", ("dramatiq[redis]==2.2.1",), 40_000, (1, 2))
XOSCAR = Peer("xoscar", ("xoscar==0.12.2", "uvloop"), 0, (2,))


def peer_of(ground: Ground) -> Peer:
    """Who runs on the same kind of store."""
    if isinstance(ground, Postgres):
        return PGQUEUER
    return DRAMATIQ if isinstance(ground, Redis) else HUEY


async def beside(ground: Ground, slots: int) -> dict[str, Any]:
    """Theirs and ours in turn, and the ratio of the medians."""
    peer = peer_of(ground)
    peer.python()
    theirs: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}
    for number in range(_ROUNDS):
        for processes in peer.processes:
            drained = f"drain, {processes} process{'es' if processes > 1 else ''}"
            where = _where(ground, f"{peer.name}{number}{processes}")
            found = peer.run("fill", where, peer.jobs)
            found |= {drained: _say(peer, drained, ground, where, processes)}
            for what, rate in found.items():
                theirs.setdefault(what, []).append(rate)
            filled = await enqueue(runtime_of(ground.url("beside")), peer.jobs, ground, prefix="(ours) ")
            filled[drained] = await drain(
                ground, ground.url("beside"), processes, slots, peer.jobs, what="(ours) drain"
            )
            await ground.drop("beside")
            for what, figures in filled.items():
                ours.setdefault(what, []).append(figures["jobs_per_second"])
    return _compare(peer, theirs, ours) | {"latency": await _latency(peer, ground)}


async def _latency(peer: Peer, ground: Ground) -> dict[str, Any]:
    """From enqueue to start on an idle worker, theirs and ours in turn; p50 and p99 are medians of the rounds."""
    theirs: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    for number in range(_ROUNDS):
        where = _where(ground, f"{peer.name}latency{number}")
        waits = peer.run("latency", where, WARM + TRIES, APART_S)["waits_s"][WARM:]
        theirs.append(say_milliseconds(f"({peer.name}) enqueue -> start", waits))
        ours.append(await latency_from_outside(ground.url("beside_latency"), prefix="(ours) "))
        await ground.drop("beside_latency")
    return {
        name: {share: statistics.median(one[share] for one in rounds) for share in ("p50_ms", "p99_ms")}
        for name, rounds in (("callboard", ours), (peer.name, theirs))
    }


def _where(ground: Ground, name: str) -> str:
    """What the peer's script takes as its store: it makes its own tables or keys there."""
    if isinstance(ground, Postgres | Redis):
        return ground.server_url
    assert isinstance(ground, Files)
    return ground.url(name).removeprefix("sqlite:///")


def _say(peer: Peer, drained: str, ground: Ground, where: str, processes: int) -> float:
    used_s = ground.server_s()
    found = peer.run("drain", where, peer.jobs, processes)
    server_us = ground.server_us(used_s, peer.jobs)
    of_server = "" if server_us is None else f" + {server_us:4.1f} of the server"
    line = f"{f'({peer.name}) {drained}':{WIDTH}s} {found['jobs_per_second']:>8,.0f}/s"
    print(f"{line}   CPU us a job: {found['client_us']:5.1f}{of_server}", flush=True)
    return float(found["jobs_per_second"])


def _compare(peer: Peer, theirs: dict[str, list[float]], ours: dict[str, list[float]]) -> dict[str, Any]:
    compared: dict[str, Any] = {"peer": peer.name}
    for what, rates in ours.items():
        # Where it has no call for many jobs at once, its only way is the one by one.
        against = theirs.get(what) or theirs["enqueue one by one"]
        our, their = statistics.median(rates), statistics.median(against)
        compared[what] = {"callboard": round(our), peer.name: round(their), "ratio": round(our / their, 1)}
        title = f"beside {peer.name}, A B A B: {what}"
        print(f"{title:{WIDTH + 18}s} {our:>9,.0f} / {their:>8,.0f} = {our / their:.1f}x", flush=True)
    return compared
