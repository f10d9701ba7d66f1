"""Callboard: supervised actors run persisted jobs, on asyncio. See docs/guide.md, and `callboard --help`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .runtime.version import VERSION as __version__

if TYPE_CHECKING:
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
    from .storage.errors import Full, InvalidStore, InvalidTransaction, Unavailable
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
    "InvalidTransaction",
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
    "__version__",
]

if not TYPE_CHECKING:  # a type checker would take a module's __getattr__ for every name there could be
    # Imported when first asked for: `callboard --help`, and a producer that only enqueues, need little of it.
    _HOMES = {
        "Ctx": "actors.context",
        "BadArguments": "actors.definition",
        "PayloadTooLarge": "actors.definition",
        "Cancel": "actors.outcome",
        "Discard": "actors.outcome",
        "RetryAfter": "actors.outcome",
        "Snooze": "actors.outcome",
        "Retry": "actors.retry",
        "Actor": "kernel.actor",
        "ChildSpec": "kernel.child",
        "NotStorable": "kernel.codec",
        "Query": "kernel.envelope",
        "ActorCrashed": "kernel.errors",
        "ActorStopped": "kernel.errors",
        "AskCycle": "kernel.errors",
        "AskTimeout": "kernel.errors",
        "CallboardError": "kernel.errors",
        "MailboxFull": "kernel.errors",
        "RestartIntensityExceeded": "kernel.errors",
        "Backoff": "kernel.intensity",
        "Ref": "kernel.ref",
        "Supervisor": "kernel.supervisor",
        "Handle": "runtime.handle",
        "JobCancelled": "runtime.handle",
        "JobDiscarded": "runtime.handle",
        "JobFailed": "runtime.handle",
        "JobNotFound": "runtime.handle",
        "ResultTimeout": "runtime.handle",
        "StoredJob": "runtime.handle",
        "Job": "runtime.job",
        "Registry": "runtime.job",
        "Runtime": "runtime.runtime",
        "InvalidSettings": "runtime.settings",
        "Settings": "runtime.settings",
        "Full": "storage.errors",
        "InvalidStore": "storage.errors",
        "InvalidTransaction": "storage.errors",
        "Unavailable": "storage.errors",
        "JobState": "storage.job",
    }

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
