"""The SQLite store alone, through its port, beside what SQLite itself gives with the same batches.

    python bench/store_sqlite.py [raw] [port] [million] [pair] [--jobs N] [--batch N]

raw: the same statements on a bare connection. port: insert, claim and finish through the store, results kept, fenced,
synchronous=FULL, a claim lane and a finish lane at once. million: claim(100) beside a million waiting jobs. pair: two
processes on one file, with their shares, their waits for the write lock and their heartbeats. CPU us is per job, of the
whole process. No handler runs here: bench/throughput.py is about those.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import shutil
import tempfile
import threading
import time
from itertools import chain
from multiprocessing.connection import Connection

from callboard.kernel.clock import SystemClock
from callboard.storage.ids import IdFactory
from callboard.storage.job import Claimed, JobState, NewJob
from callboard.storage.migrate import load_migrations
from callboard.storage.records import Beat, ClaimRequest, Finish, Node
from callboard.storage.sqlite.connection import connect
from callboard.storage.sqlite.driver import SqliteStore
from callboard.storage.sqlite.rows import claims_of, ids_of
from callboard.storage.statements import chunks, load

_PACKAGE = "callboard.storage.sqlite"
_INSERT = load(_PACKAGE, "sql/jobs/insert.sql")
_PEEK = load(_PACKAGE, "sql/jobs/claim_peek.sql")
_CLAIM = load(_PACKAGE, "sql/jobs/claim.sql")
_READ = load(_PACKAGE, "sql/jobs/claim_read.sql")
_FINISH = load(_PACKAGE, "sql/jobs/finish.sql")
LEASE_MS = 30_000
PAYLOAD = b"\x92\x2a" + b"x" * 38
RESULT = b"\xc0"


class Measured:
    """Rate and CPU of one block."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __enter__(self) -> Measured:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu_us = (time.process_time() - self._cpu) * 1e6 / self.jobs

    def __str__(self) -> str:
        return f"{self.jobs / self.seconds:>9,.0f}/s  {self.cpu_us:6.1f} us"


def p(waits: list[float], share: float) -> float:
    """A percentile, in milliseconds."""
    return sorted(waits)[int((len(waits) - 1) * share)] * 1000


def new_jobs(count: int) -> list[NewJob]:
    ids = IdFactory(SystemClock(), random.Random(os.getpid()).randbytes)
    return [NewJob(ids.new_id(), "bench.noop", "default", PAYLOAD) for _ in range(count)]


def ended(job: Claimed) -> Finish:
    return Finish(job.id, job.claim_token, job.queue, JobState.COMPLETED, job.attempt, RESULT)


def bench_raw(folder: str, jobs: int, batch: int) -> None:
    """The statements of the store, no port, no counters, one thread."""
    connection = connect(f"{folder}/raw.db")
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in load_migrations(_PACKAGE, "sql/migrations")[0].statements:
        connection.execute(statement)
    boot, now, waiting = b"B" * 16, SystemClock().wall_ms(), new_jobs(jobs)
    with Measured(jobs) as measured:
        for at in range(0, jobs, 1000):
            connection.execute("BEGIN IMMEDIATE")
            rows = [(j.id, j.queue, j.name, 0, 2, now, now, now, None, j.payload) for j in waiting[at : at + 1000]]
            for start, count in chunks(len(rows)):
                values = list(chain.from_iterable(rows[start : start + count]))
                connection.execute(_INSERT.rows(count), values)
            connection.execute("COMMIT")
    print(f"raw insert, 1,000 a batch      {measured}")
    with Measured(jobs) as measured:
        done = 0
        while done < jobs:
            connection.execute("BEGIN IMMEDIATE")
            peeked = connection.execute(_PEEK.text, {"queue": "default", "limit": batch}).fetchone()
            ids = ids_of(peeked[2])
            claimed: list[Claimed] = []
            for start, count in chunks(len(ids)):
                part = ids[start : start + count]
                connection.execute(_CLAIM.rows(count), [boot, now, now, *part])
                claimed += claims_of(connection.execute(_READ.rows(count), part), "default").values()
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
            for start, count in chunks(len(claimed)):
                ends = [(j.id, j.claim_token, boot, 4, RESULT, None) for j in claimed[start : start + count]]
                connection.execute(_FINISH.rows(count), [now, *chain.from_iterable(ends)])
            connection.execute("COMMIT")
            done += len(claimed)
    print(f"raw claim + finish, {batch} a batch  {measured}")
    connection.close()


async def drain(store: SqliteStore, boot: bytes, jobs: int, batch: int, *, lanes: int = 1) -> tuple[int, list[float]]:
    """Claim and finish until nothing comes, with claims running ahead of finishes; how many, and the rate by fifths."""
    finishing: set[asyncio.Future[list[bool]]] = set()
    done, mark = 0, time.perf_counter()
    fifths: list[float] = []

    async def lane() -> None:
        nonlocal done, mark
        while True:
            [reply] = await store.jobs.claim([ClaimRequest("default", batch)], boot_id=boot, lease_ms=LEASE_MS)
            if not reply.jobs:
                return
            finish = asyncio.ensure_future(store.jobs.finish([ended(job) for job in reply.jobs], boot_id=boot))
            finishing.add(finish)
            finish.add_done_callback(finishing.discard)
            if len(finishing) > 3:
                await asyncio.wait(finishing, return_when=asyncio.FIRST_COMPLETED)
            done += len(reply.jobs)
            if jobs and done // max(jobs // 5, 1) > len(fifths):
                fifths.append(jobs / 5 / (time.perf_counter() - mark))
                mark = time.perf_counter()

    await asyncio.gather(*(lane() for _ in range(lanes)))
    if finishing:
        assert all(all(accepted) for accepted in await asyncio.gather(*finishing))
    return done, fifths


async def bench_port(folder: str, jobs: int, batch: int) -> None:
    store = SqliteStore(f"{folder}/port.db", clock=SystemClock())
    await store.open()
    boot = b"B" * 16
    waiting = new_jobs(2000)
    with Measured(2000) as measured:
        for job in waiting:
            await store.jobs.insert([job])
    print(f"insert one by one              {measured}")
    waiting = new_jobs(50_000)
    with Measured(len(waiting)) as measured:
        for at in range(0, len(waiting), 100):
            await asyncio.gather(*(store.jobs.insert([job]) for job in waiting[at : at + 100]))
    print(f"insert, 100 awaited at a time  {measured}")
    waiting = new_jobs(jobs)
    with Measured(jobs) as measured:
        for at in range(0, jobs, 1000):
            await store.jobs.insert(waiting[at : at + 1000])
    print(f"insert, 1,000 a batch          {measured}")
    total = jobs + 52_000
    with Measured(total) as measured:
        done, fifths = await drain(store, boot, total, batch)
    assert done == total == (await store.queues.counts())[JobState.COMPLETED]
    shown = " ".join(f"{fifth / 1000:.0f}k" for fifth in fifths)
    print(f"claim + finish, {batch} a batch      {measured}  by fifths: {shown}")
    ids = [job.id for job in waiting[:2000]]
    with Measured(2000) as measured:
        for job_id in ids:
            await store.jobs.get([job_id])
    print(f"get one by one                 {measured}")
    await store.close()


async def bench_million(folder: str, count: int) -> None:
    store = SqliteStore(f"{folder}/million.db", clock=SystemClock())
    await store.open()
    for _ in range(count // 10_000):
        waiting = new_jobs(10_000)
        await asyncio.gather(*(store.jobs.insert(waiting[at : at + 1000]) for at in range(0, 10_000, 1000)))
    boot = b"B" * 16
    for limit, rounds in ((1, 500), (20, 500), (100, 500), (500, 100)):
        waits = []
        for _ in range(rounds):
            started = time.perf_counter()
            [reply] = await store.jobs.claim([ClaimRequest("default", limit)], boot_id=boot, lease_ms=LEASE_MS)
            waits.append(time.perf_counter() - started)
            assert len(reply.jobs) == limit
            await store.jobs.finish([ended(job) for job in reply.jobs], boot_id=boot)
        print(f"claim({limit}) beside {count:,} waiting: p50 {p(waits, 0.5):.2f} ms, p99 {p(waits, 0.99):.2f} ms")
    [reply] = await store.jobs.claim([ClaimRequest("default", 500)], boot_id=boot, lease_ms=LEASE_MS)
    handle, waits = store.heartbeats(), []
    for _ in range(100):
        started = time.perf_counter()
        beats = [Beat(job.id, job.claim_token) for job in reply.jobs]
        await handle.heartbeat(beats, boot_id=boot, lease_ms=LEASE_MS, report=b"")
        waits.append(time.perf_counter() - started)
    print(f"heartbeat of 500 leases: p50 {p(waits, 0.5):.2f} ms, p99 {p(waits, 0.99):.2f} ms")
    await store.close()


def beat_meanwhile(store: SqliteStore, boot: bytes, stop: threading.Event, waits: list[float]) -> None:
    """A heartbeat ten times a second, on a thread and a loop of its own."""

    async def beat() -> None:
        handle = store.heartbeats()
        await handle.open()
        while not stop.is_set():
            started = time.perf_counter()
            await handle.heartbeat([], boot_id=boot, lease_ms=LEASE_MS, report=b"")
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.1)
        await handle.close()

    asyncio.run(beat())


def drain_in_process(path: str, batch: int, spin: bool, pipe: Connection) -> None:
    async def main() -> None:
        store = SqliteStore(path, clock=SystemClock())
        await store.open()
        boot = os.urandom(16)
        await store.nodes.register(Node(boot, "bench", os.getpid(), "0", 0))
        stop, beats = threading.Event(), list[float]()
        beating = threading.Thread(target=beat_meanwhile, args=(store, boot, stop, beats))
        beating.start()
        if spin:
            threading.Thread(target=_spin, args=(stop,), daemon=True).start()
        pipe.send("ready")
        pipe.recv()
        done, _ = await drain(store, boot, 0, batch)
        stop.set()
        await asyncio.to_thread(beating.join)
        pipe.send((done, store.lock_waits(), beats))
        await store.close()

    asyncio.run(main())


def _spin(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


async def bench_pair(folder: str, jobs: int, batch: int, *, spin: bool = False) -> None:
    path = f"{folder}/pair{spin}.db"
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    waiting = new_jobs(jobs)
    for at in range(0, jobs, 1000):
        await store.jobs.insert(waiting[at : at + 1000])
    await store.close()
    spawn = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for _ in range(2):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=drain_in_process, args=(path, batch, spin, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    started = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    found = [pipe.recv() for pipe in pipes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    total = sum(done for done, _, _ in found)
    assert total == jobs
    beside = ", each beside a thread that spins" if spin else ""
    print(f"two processes, {batch} a batch{beside}: {jobs / seconds:,.0f}/s")
    for done, waits, beats in found:
        print(
            f"  share {done / total:.0%}; ms waited for the lock: p50 {waits.p50_ms:.2f}, p99 {waits.p99_ms:.2f}, "
            f"longest {waits.longest_ms:.1f} of {waits.count}; ms for a beat: p99 {p(beats, 0.99):.1f}, "
            f"longest {p(beats, 1):.1f} of {len(beats)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["raw", "port", "million", "pair"])
    parser.add_argument("--jobs", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=100)
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="callboard-bench-")
    try:
        if "raw" in asked.parts:
            bench_raw(folder, asked.jobs, asked.batch)
        if "port" in asked.parts:
            asyncio.run(bench_port(folder, asked.jobs, asked.batch))
        if "million" in asked.parts:
            asyncio.run(bench_million(folder, 1_000_000))
        if "pair" in asked.parts:
            asyncio.run(bench_pair(folder, asked.jobs, asked.batch))
            asyncio.run(bench_pair(folder, asked.jobs // 20, asked.batch, spin=True))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
