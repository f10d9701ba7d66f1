"""`callboard run MODULE:RUNTIME`: one node, in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import WrongUse
from .options import WAIT, StoreOption, TargetArgument, WaitOption, read_seconds

if TYPE_CHECKING:
    from ..runtime import Runtime

_FORMATS = ("console", "json")


def run(
    target: TargetArgument,
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
    ready_file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Made when the node is ready to claim, removed at drain.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Development: start anew when a .py file changes.")] = False,
) -> None:
    """Run one node: workers for a runtime's jobs."""
    if log_format not in _FORMATS:
        raise WrongUse(f"--log-format: expected {' or '.join(_FORMATS)}, found {log_format!r}")
    if ready_file is not None and not os.access(ready_file.absolute().parent, os.W_OK):
        raise WrongUse(f"--ready-file: expected a path in a folder that can be written to, found {str(ready_file)!r}")
    slots = read_slots(queue or [])
    wait_s = read_seconds(wait, "--wait")
    if reload:
        _run_again_and_again()
    else:
        _run_node(target, slots, store, wait_s, config, grace, log_format, ready_file)


def _run_node(
    target: str,
    slots: dict[str, int | None],
    store: str | None,
    wait_s: float,
    config: str | None,
    grace: str | None,
    log_format: str,
    ready_file: Path | None,
) -> None:
    import structlog

    from ...actors.context import current_attempt
    from ..logs import LogFormat, configure_logging

    # First of all, so that nothing that the user's modules log at import goes elsewhere.
    configure_logging(LogFormat(log_format), current=current_attempt.get)
    runtime = load_program(target, store, config, grace)
    queues = {name: count or runtime.settings.slots for name, count in slots.items()}
    runtime.run(queues or None, ready_file=ready_file, wait=wait_s)
    structlog.get_logger("callboard.run").info("node stopped")


def load_program(target: str, store: str | None, config: str | None, grace: str | None) -> Runtime:
    """The runtime that `target` names, with the store and settings that options give it. Raises `WrongUse`."""
    from ..settings import load_settings
    from .target import load_runtime

    # Before the import, so that a wrong option is told as such, not as a module that failed.
    overrides = {"grace": grace} if grace is not None else {}
    load_settings(overrides=overrides, config=config)
    if config is not None:
        os.environ["CALLBOARD_CONFIG"] = os.path.abspath(config)  # for every Runtime that the module makes
    runtime = load_runtime(target)
    runtime.settings = load_settings(runtime.settings, overrides=overrides)
    if store is not None:
        runtime.store_url = store
    return runtime


def _run_again_and_again() -> None:
    from .reload import run_reloading

    command = [sys.executable, "-m", "callboard", *(word for word in sys.argv[1:] if word != "--reload")]
    raise typer.Exit(run_reloading(command, Path.cwd()))


def read_slots(texts: list[str]) -> dict[str, int | None]:
    """`mail=20` or `mail` -> slots by queue, None where none were said. Raises `WrongUse` or `InvalidName`."""
    from ...actors.names import validate_queue

    slots: dict[str, int | None] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if equals and not (number.isascii() and number.isdecimal() and 0 < int(number) <= 10_000):
            raise WrongUse(f"--queue {text}: expected QUEUE=SLOTS with 1 to 10000 slots, such as mail=20")
        if name in slots:
            raise WrongUse(f"--queue {name}: expected each queue once, found it twice")
        slots[validate_queue(name)] = int(number) if equals else None
    return slots
