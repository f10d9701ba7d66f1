"""dramatiq on Redis, run by its own interpreter: see bench/harness/peers.py, which installs it.

    peer_dramatiq.py fill URL COUNT              enqueue COUNT no-op jobs
    peer_dramatiq.py drain URL COUNT PROCESSES   have worker processes do them
    peer_dramatiq.py work URL                    one of these
    peer_dramatiq.py latency URL COUNT APART_S   enqueue COUNT jobs one after the other for an idle worker process
    peer_dramatiq.py listen URL COUNT            which says how long each took to be started

32 threads a process, its middleware as it comes, no results kept. It has no call for many jobs at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import dramatiq  # type: ignore[import-not-found]
import redis
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]

THREADS = 32
QUEUE = "dramatiq:default"

verb, url, *numbers = sys.argv[1:]
broker = RedisBroker(url=url)
dramatiq.set_broker(broker)


def nothing(number: int, text: str) -> None:
    """Takes what most jobs take, and ends."""


waits: list[float] = []


def note(asked_ns: int) -> None:
    """Takes down how long it was waiting."""
    waits.append((time.monotonic_ns() - asked_ns) / 1e9)


noop = dramatiq.actor(nothing, actor_name="noop")
noted = dramatiq.actor(note, actor_name="noted")


def fill(count: int) -> dict[str, float]:
    began = time.perf_counter()
    for number in range(count):
        noop.send(number, "x")
    return {"enqueue one by one": count / (time.perf_counter() - began)}


def drain(count: int, processes: int) -> dict[str, float]:
    client = redis.Redis.from_url(url)
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
        while client.hlen(f"{QUEUE}.msgs"):  # a message stands there until it is acknowledged
            time.sleep(0.02)
        seconds = time.perf_counter() - began
    finally:
        used = 0.0
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            _, _, usage = os.wait4(worker.pid, 0)
            worker.returncode = -signal.SIGKILL
            used += usage.ru_utime + usage.ru_stime
    return {"jobs_per_second": count / seconds, "client_us": used / count * 1e6}


def work() -> None:
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    print("ready", flush=True)
    sys.stdin.readline()
    worker.start()
    threading.Event().wait()


def latency(count: int, apart_s: float) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "listen", url, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        for _ in range(count):
            noted.send(time.monotonic_ns())
            time.sleep(apart_s)
        found: list[float] = json.loads(worker.stdout.readline())
    return {"waits_s": found}


def listen(count: int) -> None:
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    print("ready", flush=True)
    while len(waits) < count:
        time.sleep(0.05)
    print(json.dumps(waits), flush=True)
    worker.stop()


def main() -> None:
    if verb == "work":
        work()
    elif verb == "latency":
        print(json.dumps(latency(int(numbers[0]), float(numbers[1]))))
    elif verb == "listen":
        listen(int(numbers[0]))
    elif verb == "fill":
        print(json.dumps(fill(int(numbers[0]))))
    else:
        print(json.dumps(drain(int(numbers[0]), int(numbers[1]))))


if __name__ == "__main__":
    main()
