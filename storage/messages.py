"""What the storage actor understands. Each write carries a batch and is answered after the commit.

The verbs are those of the ports; `Committed` is what the actor tells the wake-ups afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..kernel.envelope import Query
from .control import Control, ControlAnswer
from .job import NewJob
from .records import (
    CancelAnswer,
    ClaimReply,
    ClaimRequest,
    Finish,
    HandBack,
    Node,
    Rescued,
    Retry,
    Snooze,
    Wakeup,
)
from .role import Term


@dataclass(slots=True, eq=False)
class InsertJobs(Query[list[bool]]):
    """Keep new jobs, all of them because of the role held in term `fence`, if there is one."""

    items: Sequence[NewJob]
    fence: Term | None = None


class Leased(NamedTuple):
    """What a claim brought, and since when: the call that was answered began then, after however many in vain."""

    reply: ClaimReply
    since: float  # monotonic seconds


@dataclass(slots=True, eq=False)
class ClaimJobs(Query[list[Leased]]):
    """Lease available jobs; all are leased for the same time."""

    items: Sequence[ClaimRequest]
    lease_ms: int


@dataclass(slots=True, eq=False)
class FinishJobs(Query[list[bool]]):
    """End attempts."""

    items: Sequence[Finish]


@dataclass(slots=True, eq=False)
class RetryJobs(Query[list[bool]]):
    """Put failed attempts back for another."""

    items: Sequence[Retry]


@dataclass(slots=True, eq=False)
class SnoozeJobs(Query[list[bool]]):
    """Put jobs back for later, attempt restored."""

    items: Sequence[Snooze]


@dataclass(slots=True, eq=False)
class HandBackJobs(Query[list[bool]]):
    """Give jobs back unharmed."""

    items: Sequence[HandBack]


@dataclass(slots=True, eq=False)
class RescueJobs(Query[list[Rescued]]):
    """Take jobs from holders whose lease has expired."""

    limit: int
    max_crashes: int


@dataclass(slots=True, eq=False)
class CancelJobs(Query[list[CancelAnswer]]):
    """Cancel waiting jobs, mark executing ones."""

    items: Sequence[bytes]
    reason: str


@dataclass(slots=True, eq=False)
class ReviveJobs(Query[list[bool]]):
    """Start jobs anew."""

    items: Sequence[bytes]


@dataclass(slots=True, eq=False)
class DeleteJobs(Query[list[bool]]):
    """Remove jobs."""

    items: Sequence[bytes]


@dataclass(slots=True, eq=False)
class PruneJobs(Query[int]):
    """Remove old terminal jobs."""

    finished_before: int
    limit: int
    fence: Term | None = None


@dataclass(slots=True, eq=False)
class PauseQueues(Query[None]):
    """Stop claims from queues."""

    queues: Sequence[str]


@dataclass(slots=True, eq=False)
class ResumeQueues(Query[None]):
    """Let claims from queues go on."""

    queues: Sequence[str]


@dataclass(slots=True, eq=False)
class RegisterNode(Query[None]):
    """Write a node's row."""

    node: Node


@dataclass(slots=True, eq=False)
class ForgetNodes(Query[None]):
    """Remove nodes' rows."""

    boot_ids: Sequence[bytes]
    fence: Term | None = None


@dataclass(slots=True, eq=False)
class SendControls(Query[None]):
    """Ask nodes for something."""

    controls: Sequence[Control]


@dataclass(slots=True, eq=False)
class AnswerControls(Query[None]):
    """Answer what was asked of this node."""

    answers: Sequence[ControlAnswer]


@dataclass(slots=True, eq=False)
class Committed:
    """What one commit changed that somebody may wait for."""

    wakeups: set[Wakeup] = field(default_factory=set)
    carried: set[Wakeup] = field(default_factory=set)  # of these the commit itself told other processes
