"""`callboard`: the commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import typer

from ...kernel.errors import CallboardError
from . import job_verbs as job_verbs  # adds its commands to jobs_app
from .check import check
from .cluster.app import cluster_app
from .demo import demo
from .doctor import doctor
from .enqueue import enqueue
from .failures import DONE, FAILED, WRONG_USE, WrongUse, exit_code_of, one_line
from .jobs import jobs_app
from .migrate import migrate
from .prune import prune
from .queues import queues_app
from .run import run

app = typer.Typer(
    name="callboard",
    help="Run and operate Callboard's persisted jobs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich's help alone would take longer to import than all the rest
    pretty_exceptions_enable=False,
)

app.command("demo")(demo)
app.command("run")(run)
app.command("enqueue", context_settings={"ignore_unknown_options": True})(enqueue)  # so that -5 is an argument
app.command("check")(check)
app.command("doctor")(doctor)
app.command("migrate")(migrate)
app.command("prune")(prune)
app.add_typer(cluster_app, name="cluster")
app.add_typer(jobs_app, name="jobs")
app.add_typer(queues_app, name="queues")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and give its exit code: 0 done, 1 failed, 2 wrong use.

    What a user can cause prints one line on stderr. Anything else is a fault of ours and is raised with its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Reconfigurable):
            stream.reconfigure(errors="backslashreplace")  # a name in the store must not break a narrow terminal
    try:
        _refuse_bytes(sys.argv[1:] if args is None else args)
        code = typer.main.get_command(app).main(args=args, prog_name="callboard", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as exc:
        return _refused(exc)
    except typer.Abort:
        return _ended("aborted", FAILED)
    except CallboardError as exc:
        return _ended(str(exc), exit_code_of(exc))
    except BrokenPipeError:
        # The reader of our output left, as `head` does. Nothing more can be said, not even by the flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code if isinstance(code, int) else DONE


@runtime_checkable
class _Reconfigurable(Protocol):
    def reconfigure(self, *, errors: str) -> None: ...


def _refuse_bytes(args: Sequence[str]) -> None:
    """Raises `WrongUse` for an argument that is no UTF-8 text: no row of a store takes it."""
    for number, arg in enumerate(args, 1):
        if not arg.isascii() and arg.encode(errors="replace") != arg.encode(errors="surrogatepass"):
            raise WrongUse(f"argument {number}: expected UTF-8 text, found {arg[:60]!a}")


def _refused(exc: typer.TyperException) -> int:
    """What typer has to say about a command line; its help for a bare command comes the same way."""
    said = exc.format_message()
    if "\n" in said.strip() and said.lstrip().startswith("Usage:"):
        print(said, file=sys.stderr)
        return WRONG_USE
    context = getattr(exc, "ctx", None)
    path = context.command_path if context is not None else "callboard"
    return _ended(f"{said.strip().rstrip('.')}; see `{path} --help`", exc.exit_code)


def _ended(said: str, code: int) -> int:
    print(f"callboard: {one_line(said)}", file=sys.stderr)
    return code
