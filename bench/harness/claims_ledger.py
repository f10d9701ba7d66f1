"""What a store was seen to accept, checked call by call against what it had granted before."""

from __future__ import annotations

from typing import Any, NamedTuple

from callboard import JobState
from callboard.testing import Carried

ENDING = {"jobs.finish", "jobs.retry", "jobs.snooze", "jobs.hand_back"}


class Lease(NamedTuple):
    """A claim that was granted."""

    token: int
    boot_id: bytes


class ClaimsLedger:
    """`note` every call. `wrong` says what should not have been."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.accepted = 0  # fenced writes
        self.refused = 0
        self.repeated = 0  # accepted, having been accepted before
        self.granted_at: dict[tuple[bytes, int], float] = {}  # seconds, by job and token
        self._lease: dict[bytes, Lease] = {}  # the latest by job
        self._given_up: dict[bytes, tuple[str, Any]] = {}  # by job: how its latest lease ended
        self._ended: dict[bytes, tuple[Lease, JobState]] = {}

    def note(self, call: Carried) -> None:
        """One call that the store carried out."""
        if call.error is not None:
            return
        if call.method == "jobs.claim":
            self._claimed(call)
        elif call.method == "jobs.rescue":
            for rescued in call.value:
                self._given_up[rescued.id] = ("rescue", None)
        elif call.method in ENDING:
            for item, is_accepted in zip(call.args[0], call.value, strict=True):
                self._closed(call, item, is_accepted)

    def _claimed(self, call: Carried) -> None:
        for job in (job for reply in call.value for job in reply.jobs):
            before = self._lease.get(job.id)
            if before is not None and job.claim_token <= before.token:
                self.wrong.append(f"{_at(call)}: token {job.claim_token} was granted after {before.token}")
            if before is not None and job.id not in self._given_up:
                self.wrong.append(f"{_at(call)}: claimed while {before} stood")
            if job.id in self._ended:
                self.wrong.append(f"{_at(call)}: claimed after its end, {self._ended[job.id]}")
            self._given_up.pop(job.id, None)
            self._lease[job.id] = Lease(job.claim_token, call.kwargs["boot_id"])
            self.granted_at[job.id, job.claim_token] = call.at_s

    def _closed(self, call: Carried, item: Any, is_accepted: bool) -> None:
        mine = Lease(item.claim_token, call.kwargs["boot_id"])
        if not is_accepted:
            self.refused += 1
            if self._lease.get(item.id) == mine and item.id not in self._given_up:
                self.wrong.append(f"{_at(call)}: the holder was refused, {mine}")
            return
        self.accepted += 1
        if self._lease.get(item.id) != mine:
            self.wrong.append(f"{_at(call)}: accepted under {mine}, but {self._lease.get(item.id)} stands")
        elif item.id in self._given_up:
            self.repeated += 1
            how = self._given_up[item.id][0]
            if how == "rescue":
                self.wrong.append(f"{_at(call)}: accepted under {mine}, from which the job had been rescued")
        else:
            self._given_up[item.id] = (call.method, item)
            if call.method == "jobs.finish":
                self._ended[item.id] = (mine, item.state)


def _at(call: Carried) -> str:
    return f"{call.at_s:.3f} s, {call.method} sent at {call.sent_s:.3f} s"
