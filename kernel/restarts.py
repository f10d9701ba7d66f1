"""What a supervisor does when a child has ended: a pure table.

After OTP's `supervisor`: a child is started again when its `restart` asks for it at this exit, and the strategy says
who else is. One that is not started again is let go, and takes the supervisor along if it was significant.

| restart     | normal | shutdown | killed | crashed |
|-------------|--------|----------|--------|---------|
| `permanent` | again  | again    | again  | again   |
| `transient` | let go | let go   | again  | again   |
| `temporary` | let go | let go   | let go | let go  |
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, get_args

from .exits import Crashed, Exit, Killed

Restart = Literal["permanent", "transient", "temporary"]
RESTARTS: tuple[Restart, ...] = get_args(Restart)
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


class Verdict(Enum):
    """What to do."""

    RESTART_ONE = "restart it alone"
    RESTART_ALL = "stop the others and start all, left to right"
    RESTART_REST = "stop those to its right and start it and them, left to right"
    LET_GO = "leave it stopped"
    FINISH = "leave it stopped, stop the others, and end"


_SCOPE = {
    "one_for_one": Verdict.RESTART_ONE,
    "one_for_all": Verdict.RESTART_ALL,
    "rest_for_one": Verdict.RESTART_REST,
}


def judge(strategy: Strategy, restart: Restart, exit: Exit, *, significant: bool = False) -> Verdict:
    """The verdict on a child which ended by `exit` without having been told to."""
    if is_started_again(restart, exit):
        return _SCOPE[strategy]
    return Verdict.FINISH if significant else Verdict.LET_GO


def is_started_again(restart: Restart, exit: Exit) -> bool:
    """Whether a child with this `restart` is started again after `exit`."""
    if restart == "transient":
        return isinstance(exit, Crashed | Killed)
    return restart == "permanent"
