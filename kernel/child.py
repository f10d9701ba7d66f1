"""A child in words: what it is to be (`ChildSpec`) and how it fares (`ChildInfo`). Who keeps it is in `children.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from .restarts import RESTARTS, Restart

if TYPE_CHECKING:
    from .actor import Actor
    from .supervisor import Supervisor

InFlight = Literal["drop", "redeliver", "quarantine"]
IN_FLIGHT: tuple[InFlight, ...] = get_args(InFlight)
State = Literal["waiting", "starting", "running", "stopping", "restarting", "parked", "stopped"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to make a child, and how it is treated. With `Supervisor` as the factory, `args` are the nested one's."""

    factory: Callable[..., Actor | Supervisor]  # called for each incarnation, within its own task
    _: KW_ONLY
    id: str  # its name among its siblings; no slash
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    restart: Restart = "permanent"  # "permanent"
    shutdown: float = (
        5.0  # seconds from Stop until it is cancelled; a supervisor has at least the sum of its children's. 5
    )
    significant: bool = False  # when it ends and is not started again, its supervisor ends too. False
    mailbox: int = 1024  # messages that may wait. 1,024
    in_flight: InFlight = "drop"  # the fate of the message in hand at a crash; "redeliver" does it once. "drop"

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"child {self.id!r}: {problem}")

    def _problem(self) -> str | None:
        if not self.id or "/" in self.id:
            return "expected an id that is not empty and has no slash"
        if not callable(self.factory):
            return f"expected a class or function as factory, found {self.factory!r}"
        if self.restart not in RESTARTS:
            return f"expected restart to be one of {', '.join(RESTARTS)}, found {self.restart!r}"
        if self.in_flight not in IN_FLIGHT:
            return f"expected in_flight to be one of {', '.join(IN_FLIGHT)}, found {self.in_flight!r}"
        if not self.shutdown >= 0:
            return f"expected shutdown in seconds, 0 or more, found {self.shutdown!r}"
        if self.mailbox < 1:
            return f"expected room for one message at least, found mailbox={self.mailbox!r}"
        if self.significant and self.restart == "permanent":
            return "a permanent child always comes back, so it cannot be significant: say restart='transient'"
        return None


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """How a child fares."""

    id: str  # its path below the supervisor that was asked
    state: State
    is_supervisor: bool
    restarts: int  # how often it was started again
    restart_in_s: float | None  # seconds until it is started again, while it is "restarting" or "parked"
    last_crash: str | None  # one line
    queue_length: int
    queue_age_s: float  # for how long the oldest message has been waiting
    handled: int  # messages, since the child was made
    skipped: int  # asks that nobody waited for any more
    crashed: int
