"""Four nodes, a singleton, a kill and a drain: `python play.py` runs the theatre and says what happened.

It starts `callboard cluster up` with four nodes, sells 1,500 tickets, kills the node on which the clerk lives, drains
another one, and at last tells all to end. Each ticket is sold, and the clerk lived in one place at a time.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import theatre

HERE = Path(__file__).parent
TICKETS = 1500
PATIENCE_S = 30.0


def callboard(*words: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "callboard", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(callboard("cluster", "status", "--json"))
    return found


@contextmanager
def cluster(nodes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`callboard cluster up`, until the end of the block: then SIGTERM drains all nodes."""
    command = [sys.executable, "-m", "callboard", "cluster", "up", "theatre:runtime", "--nodes", str(nodes)]
    # Where the program is found; the store and the book lie where this was started.
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    with Path("cluster.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        print(f"all nodes told to end; the cluster ended with code {process.wait(PATIENCE_S)}")


async def until(what: str, is_so: Any) -> Any:
    """What `is_so` gives once that is something."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        found = await asyncio.to_thread(is_so)
        if found:
            return found
        if time.monotonic() > ends:
            raise SystemExit(f"gave up after {PATIENCE_S:g} s waiting for {what}; see cluster.log")
        await asyncio.sleep(0.1)


def notes(kind: str) -> list[list[int]]:
    """What the book says of sales or counts."""
    if not theatre.NOTES.exists():
        return []
    lines = [line.split() for line in theatre.NOTES.read_text().splitlines()]
    return [[int(word) for word in words] for first, *words in lines if first == kind]


def ready_nodes(count: int) -> list[dict[str, Any]]:
    """The nodes, if so many are ready."""
    ready = [node for node in status()["nodes"] if node["state"] == "ready"]
    return ready if len(ready) == count else []


def clerk_after(term: int) -> dict[str, Any] | None:
    """The clerk's role, once it is held in a later term than that."""
    roles = [role for role in status()["roles"] if role["role"] == "singleton:clerk"]
    return next((role for role in roles if role["holder"] is not None and role["term"] > term), None)


async def main() -> None:
    """The evening."""
    callboard("migrate")  # so that there is a store to look at, also before the first node has made it
    with cluster(nodes=4):
        nodes = await until("four nodes", lambda: ready_nodes(4))
        clerk = await until("a clerk", lambda: clerk_after(0))
        print(f"four nodes are ready; the clerk lives on one of them, in term {clerk['term']}")

        async with theatre.runtime:
            await theatre.runtime.enqueue_many([theatre.sell.bind(seat) for seat in range(TICKETS)])
        await until("the first sales", lambda: notes("sold"))

        [home] = [node for node in nodes if node["id"] == clerk["holder"]]
        os.kill(home["pid"], signal.SIGKILL)
        print("killed the node on which the clerk lives")
        moved = await until("a new clerk", lambda: clerk_after(clerk["term"]))
        print(f"the clerk lives on another node, in term {moved['term']}")
        if theatre.runtime.store_url.startswith("redis"):  # a store in Redis is a link between nodes by itself
            async with theatre.runtime:
                ordered = await theatre.runtime.ref("clerk").ask(theatre.Counts(), timeout=PATIENCE_S)
            print(f"asked by a ref from outside, it says that it has ordered {ordered} counts there")
        await until("its counts", lambda: [term for term, _ in notes("count") if term >= moved["term"]])

        await until("four nodes again", lambda: ready_nodes(4))
        print("four nodes are ready again: the supervisor has started another")
        drained = next(node for node in ready_nodes(4) if node["id"] != moved["holder"])
        await asyncio.to_thread(callboard, "cluster", "drain", drained["id"], "--wait")
        print("drained one node; it stays down")

        await until("all tickets", lambda: len({seat for seat, _ in notes("sold")}) == TICKETS)
    report()


def report() -> None:
    """What the book says in the end."""
    sold = [seat for seat, _ in notes("sold")]
    print(f"{len(set(sold))} of {TICKETS} tickets sold")
    terms = [term for term, _ in notes("count")]
    print(f"the house was counted in {len(set(terms))} terms of the clerk")


if __name__ == "__main__":
    asyncio.run(main())
