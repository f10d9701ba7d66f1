"""The node processes of a storm: who runs, who was hit, who ended by itself."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from .processes import Proc, ProcPool
from .records import read_records
from .verdict import Hit

NODE = Path(__file__).parent / "storm_node.py"
MOST_ENDED = 20  # processes that may end by themselves before the storm is given up


class Storm:
    """A fixed number of node processes, each replaced at once when it ends."""

    def __init__(self, pool: ProcPool, args: Sequence[str], nodes: int) -> None:
        self._pool = pool
        self._args = args
        self._stopped: set[Proc] = set()
        self.hits: list[Hit] = []
        self.ended: list[str] = []  # one line for each process that ended by itself
        self._procs = [self._spawn() for _ in range(nodes)]

    @property
    def kills(self) -> int:
        """Processes killed so far."""
        return sum(hit.until is None for hit in self.hits)

    @property
    def stops(self) -> int:
        """Processes stopped and continued so far."""
        return len(self.hits) - self.kills

    def ready(self, rng: random.Random) -> Proc | None:
        """Any of the processes that are ready, or None."""
        ready = [proc for proc in self._procs if proc.is_ready and proc not in self._stopped]
        return rng.choice(ready) if ready else None

    def kill(self, proc: Proc) -> None:
        """Kill it, and start another in its place."""
        self.hits.append(Hit(proc.pid, proc.signal(signal.SIGKILL)))
        self._procs[self._procs.index(proc)] = self._spawn()
        proc.wait()

    async def stop(self, proc: Proc, seconds: float) -> None:
        """Stop it for that long, and let it go on."""
        self._stopped.add(proc)
        began = proc.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.hits.append(Hit(proc.pid, began, proc.signal(signal.SIGCONT)))
            self._stopped.discard(proc)

    def look(self) -> None:
        """Note which processes ended by themselves, and replace them. SystemExit when they do nothing else."""
        for index, proc in enumerate(self._procs):
            if proc.exit_code is None:
                continue
            said = " | ".join(proc.tail().split("\n")[-6:])
            self.ended.append(f"{proc.name} ended by itself with {proc.exit_code}: {said}")
            if len(self.ended) > MOST_ENDED:
                raise SystemExit("\n".join(["nodes do nothing but end:", *self.ended]))
            self._procs[index] = self._spawn()

    async def idle(self, records: Path, since: float) -> list[Proc]:
        """Processes that have begun no job since that moment."""
        begun = {record.pid for record in read_records(records, "start") if record.at >= since}
        return [proc for proc in self._procs if proc.pid not in begun]

    async def all_ready(self, within_s: float = 30.0) -> None:
        """Returns when all are ready, or when the time is over."""
        until = time.monotonic() + within_s
        while time.monotonic() < until and not all(proc.is_ready for proc in self._procs):
            self.look()
            await asyncio.sleep(0.02)

    def drain(self) -> list[int]:
        """End all in order; their exit codes."""
        for proc in self._procs:
            proc.wait_ready().signal(signal.SIGTERM)
        return [proc.wait() for proc in self._procs]

    def tails(self, procs: Collection[Proc]) -> list[str]:
        """What these processes said last."""
        return [f"{proc.name} claims nothing any more: " + " | ".join(proc.tail().split("\n")[-6:]) for proc in procs]

    def _spawn(self) -> Proc:
        return self._pool.spawn(NODE, *self._args)
