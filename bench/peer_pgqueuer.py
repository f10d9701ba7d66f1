"""pgqueuer on PostgreSQL, run by its own interpreter: see bench/harness/peers.py, which installs it.

    peer_pgqueuer.py fill URL COUNT              enqueue COUNT no-op jobs, three ways
    peer_pgqueuer.py drain URL COUNT PROCESSES   have worker processes do them
    peer_pgqueuer.py work URL                    one of these
    peer_pgqueuer.py latency URL COUNT APART_S   enqueue COUNT jobs one after the other for an idle worker process
    peer_pgqueuer.py listen URL COUNT            which says how long each took to be started

Batches of 100, no limit on jobs at once, uvloop, its tables in their default, durable form.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import asyncpg
import uvloop
from pgqueuer import Queries, QueueManager  # type: ignore[import-not-found]
from pgqueuer.db import AsyncpgDriver  # type: ignore[import-not-found]
from pgqueuer.types import QueueExecutionMode  # type: ignore[import-not-found]

BULK, TOGETHER, BATCH = 1000, 100, 100
PAYLOAD = json.dumps([1, "x"]).encode()


async def fill(url: str, count: int) -> dict[str, float]:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.uninstall()
    await queries.install()
    singles, together = 500, 2000
    found = {}
    began = time.perf_counter()
    for _ in range(singles):
        await queries.enqueue("noop", PAYLOAD)
    found["enqueue one by one"] = singles / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(0, together, TOGETHER):
        await asyncio.gather(*(queries.enqueue("noop", PAYLOAD) for _ in range(TOGETHER)))
    found["enqueue, 100 awaits at a time"] = together / (time.perf_counter() - began)
    left = count - singles - together
    began = time.perf_counter()
    for start in range(0, left, BULK):
        size = min(BULK, left - start)
        await queries.enqueue(["noop"] * size, [PAYLOAD] * size, [0] * size)
    found["enqueue_many, 1,000 a batch"] = left / (time.perf_counter() - began)
    await connection.execute("VACUUM ANALYZE pgqueuer")  # else the planner does not know what has just been written
    await connection.close()
    return found


def drain(url: str, count: int, processes: int) -> dict[str, float]:
    workers = [
        subprocess.Popen([sys.executable, __file__, "work", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        began = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
            worker.stdin.flush()
        used = 0.0
        for worker in workers:  # each ends when nothing waits and its last completion is written
            _, _, usage = os.wait4(worker.pid, 0)
            worker.returncode = 0
            used += usage.ru_utime + usage.ru_stime
        seconds = time.perf_counter() - began
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                worker.wait()
    return {"jobs_per_second": count / seconds, "client_us": used / count * 1e6}


async def work(url: str) -> None:
    connection = await asyncpg.connect(url)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))

    @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
    async def noop(job: Any) -> None:
        json.loads(job.payload)

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await manager.run(batch_size=BATCH, mode=QueueExecutionMode.drain)


async def latency(url: str, count: int, apart_s: float) -> dict[str, list[float]]:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.uninstall()
    await queries.install()
    command = [sys.executable, __file__, "listen", url, str(count)]
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    await worker.stdout.readline()
    await asyncio.sleep(1)  # it says that it is ready before it listens
    for _ in range(count):
        await queries.enqueue("noop", str(time.monotonic_ns()).encode())
        await asyncio.sleep(apart_s)
    waits: list[float] = json.loads(await worker.stdout.readline())
    await worker.wait()
    await connection.close()
    return {"waits_s": waits}


async def listen(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))
    waits: list[float] = []

    @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
    async def noop(job: Any) -> None:
        waits.append((time.monotonic_ns() - int(job.payload)) / 1e9)
        if len(waits) == count:
            print(json.dumps(waits), flush=True)
            manager.shutdown.set()

    print("ready", flush=True)
    await manager.run(batch_size=BATCH)


def main() -> None:
    verb, url, *numbers = sys.argv[1:]
    if verb == "work":
        uvloop.run(work(url))
    elif verb == "latency":
        print(json.dumps(uvloop.run(latency(url, int(numbers[0]), float(numbers[1])))))
    elif verb == "listen":
        uvloop.run(listen(url, int(numbers[0])))
    elif verb == "fill":
        print(json.dumps(uvloop.run(fill(url, int(numbers[0])))))
    else:
        print(json.dumps(drain(url, int(numbers[0]), int(numbers[1]))))


if __name__ == "__main__":
    main()
