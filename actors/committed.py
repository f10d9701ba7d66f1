"""What an attempt came to whose end was written in a transaction of the handler's own: `Ctx.complete`.

Only the store knows whether that transaction was committed, so it is asked when the handler has ended, however it did:

- committed: the job has ended, whatever the handler did afterwards; nothing more is written;
- not committed: the effects did not happen either, so the job must not end as completed. A handler that raised or gave
  an answer is judged as ever; one that returned as if all were well has failed with `NotCommitted`, and runs again by
  the policy of its retries;
- somebody else's by now: the lease is lost, nothing is written.
"""

from __future__ import annotations

from ..kernel.errors import CallboardError
from ..storage.errors import StorageError, Unavailable
from ..storage.job import Job, JobState
from .attempt import Attempt
from .node import NodeParts
from .outcome import Completed, EndedInTransaction, Outcome

PAUSE_S = 0.05  # between two tries to reach the store


class NotCommitted(CallboardError):
    """A handler called `ctx.complete` and returned, but the transaction that it had written to was not committed."""

    def __init__(self) -> None:
        super().__init__(
            "ctx.complete(tx=): the transaction was not committed when the handler returned, so nothing of it happened:"
            " expected a commit after ctx.complete, within the handler"
        )


async def look_at_end(attempt: Attempt, outcome: Outcome | None, node: NodeParts) -> Outcome | NotCommitted | None:
    """What stands: `EndedInTransaction`, the outcome itself, an error to judge, or None when the lease is lost."""
    job = attempt.job
    rows = await _stored(job.id, job.claim_token, node)
    if not rows:
        return None
    [found] = rows
    if found is None or (found.state is JobState.COMPLETED and found.claim_token == job.claim_token):
        if type(outcome) is not Completed:
            node.log.warning("a handler did not end well after ctx.complete; its job is completed", job=job.name)
        return EndedInTransaction()
    if found.state is not JobState.EXECUTING or found.claim_token != job.claim_token:
        return None
    return NotCommitted() if type(outcome) is Completed else outcome


async def _stored(job_id: bytes, claim_token: int, node: NodeParts) -> list[Job | None]:
    """The job's row, or None if it has been removed; nothing when the store did not answer while the lease held."""
    assert node.jobs is not None
    while node.in_flight.holds(job_id, claim_token):
        try:
            return await node.jobs.get([job_id])
        except Unavailable:
            await node.clock.sleep(PAUSE_S)
        except StorageError:
            break
    return []
