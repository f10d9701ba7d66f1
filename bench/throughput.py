"""How fast jobs go through the whole runtime: enqueue, drain, latency; beside the store's raw limit and a peer.

    python bench/throughput.py [--store memory|sqlite|postgres|redis] [--jobs 400000] [--slots 200] [--processes 1,2]
                               [--parts enqueue,drain,latency,raw,peer] [--json]

Results are kept, writes fenced, commits durable (SQLite: synchronous=FULL; Redis: append-only file, every second). The
drain's clock runs from the moment the worker processes are ready to the last accepted finish, seen by counting ends in
the store; each fifth stands apart.
CPU is of the worker processes, all threads. The peer (huey on SQLite) runs in turn with ours, A B A B, and the ratio is
of the medians. bench/README.md says what each of the two promises.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from workload import latency, noop  # the jobs, shared with the worker processes
from workload import registry as jobs

from callboard import Runtime, Settings

HERE = Path(__file__).resolve().parent
BULK = 1000
TOGETHER = 100


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", choices=["memory", "sqlite", "postgres", "redis"], default="sqlite")
    options.add_argument("--jobs", type=int, default=400_000)
    options.add_argument("--slots", type=int, default=200)
    options.add_argument("--processes", default="1,2")
    options.add_argument("--parts", default="enqueue,drain,latency,raw,peer")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    parts = given.parts.split(",")
    figures: dict[str, Any] = {"store": given.store, "jobs": given.jobs, "slots": given.slots}
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        if given.store == "memory":
            figures |= uvloop.run(_memory(given.jobs, given.slots, parts))
        elif given.store == "redis":
            with _redis_server() as server:
                figures |= _served(lambda name: f"{server}?namespace={name}", given, parts)
        elif given.store == "postgres":
            figures |= _served(_postgres_url, given, parts)
        else:
            figures |= _sqlite(Path(folder), given, parts)
    if given.json:
        print(json.dumps(figures, indent=1))


def _runtime(url: str) -> Runtime:
    runtime = Runtime(url, settings=Settings(retention="7d"), migrate=True)
    runtime.include(jobs)
    return runtime


# Enqueue: one at a time, a hundred at a time, a thousand a batch.


async def _enqueue(runtime: Runtime, count: int, *, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    singles, together = max(min(count // 100, 3000), 200), max(min(count // 10, 40_000), 2000)
    async with runtime:
        with _Clock(singles) as clock:
            for number in range(singles):
                await noop.enqueue(number, "x")
        found["enqueue one by one"] = _say(f"{prefix}enqueue one by one", clock)
        with _Clock(together) as clock:
            for start in range(0, together, TOGETHER):
                await asyncio.gather(*(noop.enqueue(start + n, "x") for n in range(TOGETHER)))
        found["enqueue 100 at a time"] = _say(f"{prefix}enqueue, 100 awaits at a time", clock)
        bulk = count - singles - together
        with _Clock(bulk) as clock:
            for start in range(0, bulk, BULK):
                await runtime.enqueue_many([noop.bind(n, "x") for n in range(start, min(start + BULK, bulk))])
        found["enqueue_many 1000"] = _say(f"{prefix}enqueue_many, 1,000 a batch", clock)
    return found


# Memory: producer and worker are one process by nature.


async def _memory(count: int, slots: int, parts: list[str]) -> dict[str, Any]:
    from callboard.runtime.running import tune_interpreter

    tune_interpreter()
    runtime = _runtime("memory://")
    found: dict[str, Any] = {}
    async with runtime:
        found |= await _enqueue(runtime, count)
        with _Clock(count) as clock:
            async with runtime.work({"default": slots}):
                fifths = await _watch(runtime, count, clock.began)
        found["drain 1"] = _say(f"drain, 1 process, slots {slots}", clock, fifths)
        if "latency" in parts:
            found["latency"] = await _latency(runtime, runtime.work({"default": slots}))
    return found


# SQLite and servers: workers are processes of their own.


def _sqlite(folder: Path, given: argparse.Namespace, parts: list[str]) -> dict[str, Any]:
    found = _served(lambda name: f"sqlite:///{folder / name}.db", given, parts)
    if "raw" in parts:
        subprocess.run([sys.executable, str(HERE / "store_sqlite.py"), "raw", "--jobs", str(given.jobs)], check=True)
    if "peer" in parts:
        found["peer"] = _peer(folder)
    return found


def _served(url_of: Callable[[str], str], given: argparse.Namespace, parts: list[str]) -> dict[str, Any]:
    """Each part on a store of its own, whose URL follows from its name."""
    found: dict[str, Any] = {}
    for processes in [int(n) for n in given.processes.split(",")]:
        url = url_of(f"jobs{processes}")
        filled = uvloop.run(_enqueue(_runtime(url), given.jobs))
        found.setdefault("enqueue", filled)
        if "drain" in parts:
            found[f"drain {processes}"] = uvloop.run(_drain(url, processes, given.slots, given.jobs))
    if "latency" in parts:
        found["latency"] = uvloop.run(_remote_latency(url_of("latency")))
    return found


@contextmanager
def _redis_server() -> Iterator[str]:
    """A private server that appends to a file every second, ended afterwards."""
    sys.path.append(str(HERE.parent))
    from tests.support.servers import redis

    path = redis.binary()
    if path is None:
        raise SystemExit(f"bench: {redis.missing()}")
    server = redis.RedisServer(path)
    server.start()
    try:
        yield server.at.url
    finally:
        server.remove()


def _postgres_url(name: str) -> str:
    """A schema on a private server with durable settings, which ends with this process."""
    sys.path.append(str(HERE.parent))
    from tests.support.servers import postgres

    return postgres.url_of(f"bench_{name}")


async def _drain(url: str, processes: int, slots: int, count: int) -> dict[str, Any]:
    runtime = _runtime(url)
    workers = [_Worker(url, slots) for _ in range(processes)]
    try:
        async with runtime:
            for worker in workers:
                await worker.ready()
            with _Clock(count) as clock:
                for worker in workers:
                    worker.go()
                fifths = await _watch(runtime, count, clock.began)
        for worker in workers:
            worker.stop()
    finally:
        for worker in workers:
            worker.kill()
    clock.cpu_us = sum(worker.cpu_s for worker in workers) / count * 1e6
    shares = [worker.figures["finished"] / count for worker in workers]
    extra: dict[str, Any] = {
        "shares": [round(share, 2) for share in shares],
        "rss_mb": max(worker.rss_mb for worker in workers),
    }
    for name in ("lock_wait_p99_ms", "lock_wait_max_ms"):
        if name in workers[0].figures:
            extra[name] = max(worker.figures[name] for worker in workers)
    return _say(f"drain, {processes} process(es), slots {slots}", clock, fifths, extra)


async def _watch(runtime: Runtime, count: int, began: float) -> list[int]:
    """Rates of the five fifths; returns when the last job has ended, each once."""
    rates: list[int] = []
    last = began
    while True:
        await asyncio.sleep(0.02)
        done = (await runtime.counts())["completed"]
        while len(rates) < 5 and done >= count / 5 * (len(rates) + 1):
            now = time.perf_counter()
            rates.append(round(count / 5 / (now - last)) if now > last else 0)
            last = now
        if done >= count:
            assert done == count, f"{done} jobs ended, {count} were enqueued"
            return rates


class _Worker:
    """A node process: `bench/worker.py`."""

    def __init__(self, url: str, slots: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), url, str(slots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.cpu_s = 0.0
        self.rss_mb = 0.0
        self.figures: dict[str, float] = {}

    async def ready(self) -> None:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line.strip() == "ready", line

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGTERM)
        self.figures = json.loads(self._process.stdout.readline())
        _, _, used = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        self.cpu_s = used.ru_utime + used.ru_stime
        self.rss_mb = round(used.ru_maxrss / 1024, 1)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


# Latency: from the call of enqueue to the first line of the handler, on an idle node.


async def _latency(runtime: Runtime, work: Any, tries: int = 300) -> dict[str, float]:
    waits: list[float] = []
    async with work:
        for _ in range(tries):
            waits.append(await (await latency.enqueue(time.monotonic_ns())).result(timeout=30) / 1e6)
            await asyncio.sleep(0.005)
    return _say_latency(waits)


async def _remote_latency(url: str) -> dict[str, float]:
    worker = _Worker(url, 10)
    waits: list[float] = []
    try:
        await worker.ready()
        worker.go()
        async with _runtime(url) as runtime:
            del runtime
            for _ in range(300):
                waits.append(await (await latency.enqueue(time.monotonic_ns())).result(timeout=30) / 1e6)
                await asyncio.sleep(0.02)
        worker.stop()
    finally:
        worker.kill()
    return _say_latency(waits)


def _say_latency(waits: list[float]) -> dict[str, float]:
    waits.sort()
    found = {"p50_ms": round(waits[len(waits) // 2], 2), "p99_ms": round(waits[int(len(waits) * 0.99)], 2)}
    print(f"{'enqueue -> start of the handler':42s} p50 {found['p50_ms']:.2f} ms   p99 {found['p99_ms']:.2f} ms")
    return found


# The peer.


def _peer(folder: Path, rounds: int = 2, count: int = 10_000) -> dict[str, Any]:
    """huey on SQLite and ours, in turn, the same work: `count` no-op jobs, one worker process."""
    theirs, ours = [], []
    for number in range(rounds):
        done = subprocess.run(
            [sys.executable, str(HERE / "peer_huey.py"), str(folder / f"huey{number}.db"), str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
        theirs.append(json.loads(done.stdout)["jobs_per_second"])
        url = f"sqlite:///{folder / f'beside{number}.db'}"
        uvloop.run(_enqueue(_runtime(url), count, prefix="(beside the peer) "))
        ours.append(uvloop.run(_drain(url, 1, 200, count))["jobs_per_second"])
    found = {"huey": statistics.median(theirs), "callboard": statistics.median(ours)}
    found["ratio"] = round(found["callboard"] / found["huey"], 1)
    rates = f"{found['callboard']:.0f} / {found['huey']:.0f} = {found['ratio']}x"
    print(f"{'drain beside huey on SQLite, A B A B':42s} {rates}")
    return found


# Saying.


class _Clock:
    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.cpu_us = 0.0

    def __enter__(self) -> _Clock:
        self._used = _cpu_s()
        self.began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self.began
        self.cpu_us = (_cpu_s() - self._used) / self.jobs * 1e6


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(
    what: str, clock: _Clock, fifths: list[int] | None = None, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"jobs_per_second": round(clock.jobs / clock.seconds), "cpu_us": round(clock.cpu_us, 1)}
    line = f"{what:42s} {found['jobs_per_second']:>8,}/s   {found['cpu_us']:6.1f} us CPU a job"
    if fifths:
        found["fifths"] = fifths
        line += "   fifths " + " ".join(f"{rate:,}" for rate in fifths)
    if extra:
        found |= extra
        line += "   " + "  ".join(f"{name} {value}" for name, value in extra.items())
    print(line, flush=True)
    return found


if __name__ == "__main__":
    main()
