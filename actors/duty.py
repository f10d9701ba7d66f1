"""What a role is held for: children that run in one of its terms, below the supervisor of its leader.

Each term has a subtree of its own, so that what is left of an old one is never taken for the new. The leader is told
when it has started or ended; if it ends by itself, the leader hears `Down` from `path`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..kernel.child import ChildSpec
from ..kernel.clock import Clock
from ..kernel.errors import CallboardError, describe
from ..kernel.ref import Ref
from ..kernel.supervisor import Supervisor
from .side_tasks import SideTasks
from .tenure import Tenure

Duty = Callable[[Tenure], Sequence[ChildSpec]]

MAX_RESTARTS = 3  # before the duty is taken to be impossible here
WITHIN_S = 5.0
START_S = 30.0  # after that it is taken not to start at all


@dataclass(frozen=True, slots=True)
class DutyStarted:
    """The duty of `tenure` has started, or why it did not."""

    tenure: Tenure
    problem: str | None


@dataclass(frozen=True, slots=True)
class DutyStopped:
    """The duty of `tenure` has ended."""

    tenure: Tenure


class DutyRoom:
    """Starts and stops the children for one role; below `parent`, whose path is `path`."""

    def __init__(
        self, duty: Duty, *, parent: Supervisor, path: str, leader: Ref, clock: Clock, tasks: SideTasks
    ) -> None:
        self._duty = duty
        self._parent = parent
        self._path = path
        self._leader = leader
        self._clock = clock
        self._tasks = tasks

    def path_of(self, tenure: Tenure) -> str:
        """Where the subtree of that term is."""
        return f"{self._path}/{_id_of(tenure)}"

    def start(self, tenure: Tenure) -> None:
        """Begin; `DutyStarted` follows."""
        self._task = self._tasks.spawn(self._start(tenure))

    def stop(self, tenure: Tenure, within_s: float) -> None:
        """End it, with that much time to end in order; `DutyStopped` follows, a second later at most."""
        self._task = self._tasks.spawn(self._stop(tenure, within_s))

    async def stopped(self, tenure: Tenure, within_s: float) -> None:
        """The same, waited for."""
        with suppress(ValueError):  # it has ended, or never started
            await self._parent.stop_child(_id_of(tenure), within_s=within_s)

    async def _start(self, tenure: Tenure) -> None:
        problem: str | None = None
        try:
            children = (self._duty(tenure),)
            restarts = {"max_restarts": MAX_RESTARTS, "within": WITHIN_S}
            spec = ChildSpec(Supervisor, id=_id_of(tenure), args=children, kwargs=restarts, restart="temporary")
            await self._clock.limit(self._parent.start_child(spec), START_S)
        except (CallboardError, ValueError) as error:
            problem = f"it did not start: {_why(error)}"
        except TimeoutError:
            problem = f"it did not start within {START_S:g} s"
        await self._leader.tell(DutyStarted(tenure, problem))

    async def _stop(self, tenure: Tenure, within_s: float) -> None:
        await self.stopped(tenure, within_s)
        await self._leader.tell(DutyStopped(tenure))


def _id_of(tenure: Tenure) -> str:
    return f"term-{tenure.term.number}"


def _why(error: BaseException) -> str:
    """What lies below that which the supervisors say of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return describe(error)
