"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, TypeAlias

import typer

from ...storage.job import JobState
from .failures import WrongUse

StoreOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="Where the jobs are. [CALLBOARD_STORE, else sqlite:///callboard.db]"),
]
WaitOption: TypeAlias = Annotated[
    str, typer.Option("--wait", metavar="SECONDS", help="How long a server that is not there yet is waited for.")
]
WAIT = "30"
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
YesOption: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
StateOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--state", metavar="STATE", help="Jobs in this state; may be repeated.")
]
QueueOption: TypeAlias = Annotated[
    str | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Jobs of this queue.")
]
NameOption: TypeAlias = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Jobs of this name.")]
IdsArgument: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", show_default=False)]
TargetArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:RUNTIME", help='Such as "service:runtime".', show_default=False)
]


def read_states(texts: Sequence[str]) -> frozenset[JobState]:
    """The states that were typed. Raises `WrongUse` for a word that is none."""
    return frozenset(_read_state(text) for text in texts)


def _read_state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        names = [state.value for state in JobState]
        near = get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
        raise WrongUse(f"no job state {text!r}: {hint}") from None


def read_seconds(text: str, what: str) -> float:
    """A duration that was typed: "30s", "5m", "1h", "1d" or plain seconds. Raises an error that names `what`."""
    from ...kernel.durations import seconds

    try:
        return seconds(float(text), what)
    except ValueError:
        return seconds(text, what)
