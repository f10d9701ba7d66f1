"""huey on SQLite, run by its own interpreter: see bench/harness/peers.py, which installs it.

    peer_huey.py fill FILE COUNT              enqueue COUNT no-op tasks
    peer_huey.py drain FILE COUNT 1           do them with its own consumer
    peer_huey.py latency FILE COUNT APART_S   enqueue COUNT tasks one after the other for an idle consumer process
    peer_huey.py listen FILE COUNT            which says how long each took to be started

One worker process with threads, as its documentation recommends for SQLite; results are stored, fsync on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

from huey import SqliteHuey

verb, file, *numbers = sys.argv[1:]
huey = SqliteHuey(filename=file, fsync=True)
count = int(numbers[0])
done = threading.Event()
seen = 0
lock = threading.Lock()
waits: list[float] = []


@huey.task()  # type: ignore[untyped-decorator]  # huey ships no types
def noop(number: int, text: str) -> int:
    global seen
    with lock:
        seen += 1
        if seen == count:
            done.set()
    return number


@huey.task()  # type: ignore[untyped-decorator]
def noted(asked_ns: int) -> None:
    with lock:
        waits.append((time.monotonic_ns() - asked_ns) / 1e9)
        if len(waits) == count:
            done.set()


def fill() -> dict[str, float]:
    began = time.perf_counter()
    for number in range(count):
        noop(number, "x")
    return {"enqueue one by one": count / (time.perf_counter() - began)}


def latency(apart_s: float) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "listen", file, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        for _ in range(count):
            noted(time.monotonic_ns())
            time.sleep(apart_s)
        found: list[float] = json.loads(worker.stdout.readline())
    return {"waits_s": found}


def listen() -> None:
    consumer = consumer_of()
    consumer.start()
    print("ready", flush=True)
    done.wait()
    print(json.dumps(waits), flush=True)
    consumer.stop(graceful=True)


def consumer_of() -> Any:
    return huey.create_consumer(workers=4, periodic=False, initial_delay=0.01, max_delay=0.1)


def drain() -> dict[str, float]:
    consumer = consumer_of()
    began, used = time.perf_counter(), time.process_time()
    consumer.start()
    done.wait()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    consumer.stop(graceful=True)
    return {"jobs_per_second": count / seconds, "client_us": used / count * 1e6}


if __name__ == "__main__":
    if verb == "listen":
        listen()
    elif verb == "latency":
        print(json.dumps(latency(float(numbers[1]))))
    else:
        print(json.dumps(fill() if verb == "fill" else drain()))
