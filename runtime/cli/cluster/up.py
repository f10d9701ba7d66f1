"""`callboard cluster up MODULE:RUNTIME --nodes N`: node processes on this machine that are kept running.

What the nodes would refuse is refused here first, by a process of its own that imports the program and opens its store:
the supervisor stays small, and a program that breaks at import cannot take it down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failures import FAILED, WrongUse
from ..options import WAIT, JsonOption, StoreOption, TargetArgument, WaitOption, read_seconds
from ..run import read_slots

if TYPE_CHECKING:
    from ...logs import LogFormat

MOST_NODES = 1000
READY_S = 60.0  # beyond --wait: the longest that the program's import and the store's opening may take in a roll
STUCK_S = 15.0  # beyond the grace, after which a node ends in a second or two


def up(
    target: TargetArgument,
    nodes: Annotated[
        int | None,
        typer.Option("--nodes", "-n", metavar="N", help="Node processes. [one per core]", show_default=False),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="QUEUE[=SLOTS]", help="Work on it; may be repeated. [the jobs' queues]"),
    ] = None,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings in TOML. [CALLBOARD_CONFIG]")] = None,
    grace: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long a drain lets jobs run. [setting grace, 20s]")
    ] = None,
    log_format: Annotated[str, typer.Option(metavar="FORMAT", help="console or json.")] = "console",
    check: Annotated[bool, typer.Option("--check", help="Start nothing; only say whether nodes could start.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run node processes on this machine, and keep them running.

    SIGTERM drains all, a second one interrupts their jobs; SIGHUP replaces them one by one.
    """
    from ...logs import LogFormat

    count = (os.cpu_count() or 1) if nodes is None else nodes
    if sys.platform == "win32":
        raise WrongUse("cluster up needs signals that Windows lacks; start each node by `callboard run`")
    if not 1 <= count <= MOST_NODES:
        raise WrongUse(f"--nodes: expected 1 to {MOST_NODES} processes, found {count}")
    if log_format not in list(LogFormat):
        raise WrongUse(f"--log-format: expected {' or '.join(LogFormat)}, found {log_format!r}")
    if as_json and not check:
        raise WrongUse(
            "--json: is what --check found; leave it out, or give --check too (--log-format json is for logs)"
        )
    read_slots(queue or [])
    wait_s = read_seconds(wait, "--wait")
    if check:
        from .fitness import examine

        examine(target, store, wait_s, config, grace, as_json=as_json)
        return
    arguments = [target, "--wait", wait]
    for option, value in (("--store", store), ("--config", config), ("--grace", grace)):
        arguments += [] if value is None else [option, value]
    _end_in_order()
    found = _examined(arguments)
    arguments += ["--log-format", log_format, *(word for text in queue or [] for word in ("--queue", text))]
    if not _run(count, ["run", *arguments], LogFormat(log_format), wait_s, found):
        raise typer.Exit(FAILED)


def _end_in_order() -> None:
    """Until nodes are there, who need more than that: a signal to end ends this process with 0, SIGHUP does nothing."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def _examined(arguments: Sequence[str]) -> dict[str, Any]:
    """What another process found out about the program and its store; ends with its exit code if it refused them."""
    from ...cluster.launch import COMMAND
    from ...tether import Tethered

    process = Tethered([*COMMAND, "cluster", "up", "--check", "--json", *arguments], stdout=subprocess.PIPE)
    try:
        stdout, _ = process.pipes
        assert stdout is not None
        said = stdout.read()
    finally:
        process.cut()
    process.wait(READY_S)
    if process.exit_code:
        raise typer.Exit(process.exit_code if process.exit_code > 0 else FAILED)
    # The program may print at its import, or at its exit: our object begins at the last line of an opening brace.
    text = "\n" + said.decode("utf-8", "replace")
    found: dict[str, Any]
    found, _ = json.JSONDecoder().raw_decode(text[text.rindex("\n{\n") + 1 :])
    return found


def _run(count: int, arguments: Sequence[str], log_format: LogFormat, wait_s: float, found: dict[str, Any]) -> bool:
    """Supervise until a signal; whether every node ended in order."""
    import asyncio
    import random

    from ....actors.context import current_attempt
    from ....actors.node_log import NodeLog
    from ....kernel.clock import SystemClock
    from ...cluster.cluster import Cluster
    from ...cluster.launch import Launch
    from ...logs import configure_logging

    configure_logging(log_format, current=current_attempt.get)
    log = NodeLog("callboard.cluster")
    log.info("cluster starts", nodes=count, store=found["store"], pid=os.getpid())
    with _folder() as folder:
        cluster = Cluster(
            [f"node-{number}" for number in range(1, count + 1)],
            Launch(arguments, folder, log_format),
            clock=SystemClock(),
            rng=random.Random(),
            log=log,
            ready_s=wait_s + READY_S,
            stuck_s=found["grace_s"] + STUCK_S,
        )
        ended_well = asyncio.run(cluster.run())
    log.info("cluster stopped")
    return ended_well


@contextmanager
def _folder() -> Iterator[Path]:
    """Where nodes say that they are ready. Raises `WrongUse`.

    Locked, so that whoever tidies up old temporary files leaves it alone (systemd-tmpfiles(8), "Age").
    """
    import fcntl

    try:
        folder = tempfile.TemporaryDirectory(prefix="callboard-cluster-", ignore_cleanup_errors=True)
    except OSError as error:
        raise WrongUse(f"no folder for temporary files can be written to: let TMPDIR name one ({error})") from None
    with folder as path:
        lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield Path(path)
        finally:
            os.close(lock)
