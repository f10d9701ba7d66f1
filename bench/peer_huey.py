"""huey on SQLite, run by its own interpreter: see bench/harness/peers.py, which installs it.

    peer_huey.py fill FILE COUNT      enqueue COUNT no-op tasks
    peer_huey.py drain FILE COUNT 1   do them with its own consumer

One worker process with threads, as its documentation recommends for SQLite; results are stored, fsync on.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from huey import SqliteHuey

verb, file, *numbers = sys.argv[1:]
huey = SqliteHuey(filename=file, fsync=True)
count = int(numbers[0])
done = threading.Event()
seen = 0
lock = threading.Lock()


@huey.task()  # type: ignore[untyped-decorator]  # huey ships no types
def noop(number: int, text: str) -> int:
    global seen
    with lock:
        seen += 1
        if seen == count:
            done.set()
    return number


def fill() -> dict[str, float]:
    began = time.perf_counter()
    for number in range(count):
        noop(number, "x")
    return {"enqueue one by one": count / (time.perf_counter() - began)}


def drain() -> dict[str, float]:
    consumer = huey.create_consumer(workers=4, periodic=False, initial_delay=0.01, max_delay=0.1)
    began, used = time.perf_counter(), time.process_time()
    consumer.start()
    done.wait()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    consumer.stop(graceful=True)
    return {"jobs_per_second": count / seconds, "client_us": used / count * 1e6}


if __name__ == "__main__":
    print(json.dumps(fill() if verb == "fill" else drain()))
