"""Callboard: supervised actors run persisted jobs, on asyncio. See docs/guide.md, and `callboard --help`."""

from __future__ import annotations

__version__ = "0.1.0"

from .actors.context import Ctx
from .actors.definition import BadArguments, PayloadTooLarge
from .actors.outcome import Cancel, Discard, RetryAfter, Snooze
from .actors.retry import Retry
from .kernel.actor import Actor
from .kernel.child import ChildSpec
from .kernel.codec import NotStorable
from .kernel.envelope import Query
from .kernel.errors import (
    ActorCrashed,
    ActorStopped,
    AskCycle,
    AskTimeout,
    CallboardError,
    MailboxFull,
    RestartIntensityExceeded,
)
from .kernel.intensity import Backoff
from .kernel.ref import Ref
from .kernel.supervisor import Supervisor
from .runtime.handle import Handle, JobCancelled, JobDiscarded, JobFailed, JobNotFound, ResultTimeout, StoredJob
from .runtime.job import Job, Registry
from .runtime.runtime import Runtime
from .runtime.settings import InvalidSettings, Settings
from .storage.errors import Full, InvalidStore, Unavailable
from .storage.job import JobState

__all__ = [
    "Actor",
    "ActorCrashed",
    "ActorStopped",
    "AskCycle",
    "AskTimeout",
    "Backoff",
    "BadArguments",
    "CallboardError",
    "Cancel",
    "ChildSpec",
    "Ctx",
    "Discard",
    "Full",
    "Handle",
    "InvalidSettings",
    "InvalidStore",
    "Job",
    "JobCancelled",
    "JobDiscarded",
    "JobFailed",
    "JobNotFound",
    "JobState",
    "MailboxFull",
    "NotStorable",
    "PayloadTooLarge",
    "Query",
    "Ref",
    "Registry",
    "RestartIntensityExceeded",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "Runtime",
    "Settings",
    "Snooze",
    "StoredJob",
    "Supervisor",
    "Unavailable",
]
