"""huey on SQLite: enqueue `count` no-op tasks, then drain them with its own consumer; prints jobs per second.

One worker process with threads, as its documentation recommends for SQLite; results are stored, fsync on.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from huey import SqliteHuey

huey = SqliteHuey(filename=sys.argv[1], fsync=True)
count = int(sys.argv[2])
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


def main() -> None:
    for number in range(count):
        noop(number, "x")
    consumer = huey.create_consumer(workers=4, periodic=False, initial_delay=0.01, max_delay=0.1)
    began = time.perf_counter()
    consumer.start()
    done.wait()
    seconds = time.perf_counter() - began
    consumer.stop(graceful=True)
    print(json.dumps({"jobs_per_second": count / seconds}))


if __name__ == "__main__":
    main()
