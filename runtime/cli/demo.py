"""`callboard demo`: index the standard library with two node processes on one store, and print a report."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from . import operate
from .failures import DONE, FAILED
from .options import WAIT, JsonOption, WaitOption, read_seconds
from .output import print_json

if TYPE_CHECKING:
    from rich.console import Console

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="Where to keep the jobs. [a file that is removed at the end]"),
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="PATH", help="A folder of Python files. [this Python's standard library]"),
]
Kill = Annotated[bool, typer.Option("--kill", help="SIGKILL one of the two nodes half-way, and go on.")]


def demo(
    store: StoreUrl = None,
    folder: Folder = None,
    kill: Kill = False,
    wait: WaitOption = WAIT,
    json: JsonOption = False,
) -> int:
    """Index Python's standard library: one job per file, two node processes, a report at the end.

    Interrupted and started again with the same --store, it goes on where it stopped. A store that is empty is set up.
    """
    from ...kernel.clock import SystemClock
    from ..demo.conduct import Interrupted, Plan, conduct
    from ..demo.folder import standard_library, survey
    from ..demo.screen import Screen, show_outcome

    wait_s = read_seconds(wait, "--wait")
    workload = survey(folder if folder is not None else standard_library())
    console = _console(json)
    scratch = Path(tempfile.mkdtemp(prefix="callboard-demo-"))
    store_url = store or f"sqlite:///{quote(str(scratch / 'demo.db'))}"
    keep_scratch = False
    clock = SystemClock()
    try:
        with Screen(console, clock) as screen:
            outcome = asyncio.run(
                conduct(Plan(workload, store_url, scratch, wait_s, kill), screen, clock, operate.tell)
            )
    except (Interrupted, KeyboardInterrupt) as stopped:
        keep_scratch = store is None
        _say_how_to_go_on(str(stopped) or "stopped", store_url, folder)
        return FAILED
    finally:
        if not keep_scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    if json:
        print_json(dataclasses.asdict(outcome))
    else:
        show_outcome(console, outcome)
    return DONE


def _console(json: bool) -> Console:
    """Where progress goes. With --json standard output is for the object alone; on stderr only a person is told."""
    from rich.console import Console

    return Console(stderr=json, quiet=json and not sys.stderr.isatty(), highlight=False, emoji=False, markup=False)


def _say_how_to_go_on(stopped: str, store_url: str, folder: Path | None) -> None:
    from ...storage.shown import without_password

    command = ["callboard", "demo", "--store", without_password(store_url)]
    if folder is not None:
        command += ["--dir", str(folder)]
    hidden = ", with the password in place of ***" if "***" in command[3] else ""
    print(f"{stopped}; to go on where it stopped: {shlex.join(command)}{hidden}", file=sys.stderr)
