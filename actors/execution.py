"""The way of one attempt, top-down in five calls: open, resolve, call, judge, close.

`execute` runs in a task of its own with a fresh context, so that what a handler leaves in context variables goes with
it, and cancelling the task stops this attempt and nothing else. No scope and no timer per attempt: the worker sweeps
deadlines and cancels. What the attempt came to goes back to the worker, which has it written by `actors/closing.py`,
the next file on a job's way.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..kernel.codec import Undecodable
from .attempt import Attempt, Stop
from .calling import call_in_thread, load_handler
from .committed import NotCommitted, look_at_end
from .context import Ctx, current_attempt
from .definition import JobDefinition
from .judge import judge_error, judge_payload, judge_return
from .node import NodeParts
from .outcome import DONE, Cancelled, Completed, Failed, HandedBack, JobTimeout, Outcome, Retrying

if TYPE_CHECKING:
    from .worker import Worker

UNKNOWN_HANDLER_DELAY_S = 5.0  # until another node, or a newer version of this one, may know it
ON_RETRY_S = 5.0  # the longest that an on_retry callback may take


async def execute(attempt: Attempt, node: NodeParts, worker: Worker) -> None:
    """Run one attempt and tell the worker what came of it; None when the lease was lost."""
    outcome: Outcome | None
    attempt.has_begun = True
    definition = node.definitions.get(attempt.job.name)
    if attempt.stop is not None:
        outcome = judge_stop(attempt, node)  # before it began
    elif definition is None:
        outcome = _hand_back_unknown(attempt, node)
    else:
        try:
            ctx = _open(attempt, definition, node, worker)
            if not definition.is_loaded:
                await load_handler(definition, node)
            call = _resolve(attempt, definition)
            outcome = call if isinstance(call, Outcome) else await _call(attempt, definition, ctx, call, worker, node)
        except BaseException as error:
            # Whatever slipped past the judgement must not strand the job: it is judged here like a handler's error.
            outcome = _judge_raised(attempt, definition, node, error)
    if attempt.is_completing:
        outcome = await _settle(attempt, outcome, node)
    worker.ended(attempt, outcome)


def judge_stop(attempt: Attempt, node: NodeParts) -> Outcome | None:
    """What an attempt that was stopped came to; None when its lease is lost and nothing may be written."""
    match attempt.stop:
        case Stop.TIMEOUT:
            definition = node.definitions[attempt.job.name]
            error = JobTimeout(_timeout_s(attempt, definition) or 0.0)
            return judge_error(
                definition.retry,
                error,
                attempt=attempt.job.attempt,
                rng=node.rng,
                age_s=_age_s(attempt, definition, node),
            )
        case Stop.CANCEL:
            return Cancelled("")
        case Stop.LEASE_LOST:
            return None
        case _:
            return HandedBack()


def _hand_back_unknown(attempt: Attempt, node: NodeParts) -> Outcome:
    node.log.warning("no handler of that name on this node; its job goes back", job=attempt.job.name)
    return HandedBack(UNKNOWN_HANDLER_DELAY_S)


def _open(attempt: Attempt, definition: JobDefinition, node: NodeParts, worker: Worker) -> Ctx:
    """The handler's context, and the attempt's deadline if it has one."""
    ctx = Ctx(attempt.job, attempt, node, definition.retry.max_attempts)
    current_attempt.set(ctx)
    timeout_s = _timeout_s(attempt, definition)
    if timeout_s is not None:
        attempt.deadline = attempt.started_at + timeout_s
        worker.timed()
    return ctx


def _resolve(attempt: Attempt, definition: JobDefinition) -> tuple[tuple[Any, ...], dict[str, Any]] | Outcome:
    """The arguments as the handler's annotations want them, or what the job comes to without them."""
    try:
        return definition.decode_call(attempt.job.payload)
    except Undecodable as error:
        return judge_payload(error)


async def _call(
    attempt: Attempt,
    definition: JobDefinition,
    ctx: Ctx,
    call: tuple[tuple[Any, ...], dict[str, Any]],
    worker: Worker,
    node: NodeParts,
) -> Outcome | None:
    """Call the handler, and judge what it returned or raised."""
    args, kwargs = call
    if definition.wants_ctx:
        args = (ctx, *args)
    try:
        if definition.kind == "async":
            value = await definition.fn(*args, **kwargs)
        elif definition.kind == "thread" or not node.runs_threads:
            value = await call_in_thread(attempt, definition.fn, args, kwargs, worker, node)
        else:
            value = await worker.processes.call(definition, attempt.job)
            if isinstance(value, Completed | Failed):
                return value  # encoded, or refused, where the handler ran
    except BaseException as error:
        outcome = _judge_raised(attempt, definition, node, error)
        if type(outcome) is Retrying and definition.retry.on_retry is not None:
            await _tell_retry(definition, ctx, error, outcome, node)
        return outcome
    if value is None:
        return DONE
    return judge_return(definition, value, attempt=attempt.job.attempt, age_s=_age_s(attempt, definition, node))


async def _settle(attempt: Attempt, outcome: Outcome | None, node: NodeParts) -> Outcome | None:
    """What an attempt came to that called `ctx.complete`."""
    try:
        found = await look_at_end(attempt, outcome, node)
    except asyncio.CancelledError:
        return None  # the worker is gone
    if isinstance(found, NotCommitted):
        return _judge_error(attempt, node.definitions[attempt.job.name], node, found)
    return found


def _judge_raised(attempt: Attempt, definition: JobDefinition, node: NodeParts, error: BaseException) -> Outcome | None:
    if attempt.stop is Stop.LEASE_LOST:
        return None
    if isinstance(error, asyncio.CancelledError) and attempt.stop is not None:
        return judge_stop(attempt, node)
    return _judge_error(attempt, definition, node, error)


def _judge_error(attempt: Attempt, definition: JobDefinition, node: NodeParts, error: BaseException) -> Outcome:
    age_s = _age_s(attempt, definition, node)
    return judge_error(definition.retry, error, attempt=attempt.job.attempt, rng=node.rng, age_s=age_s)


async def _tell_retry(
    definition: JobDefinition, ctx: Ctx, error: BaseException, outcome: Retrying, node: NodeParts
) -> None:
    """Await the policy's on_retry; whatever becomes of it, the outcome stands."""
    assert definition.retry.on_retry is not None
    next_at_ms = node.clock.wall_ms() + int(outcome.delay_s * 1000)
    try:
        async with asyncio.timeout(ON_RETRY_S):
            await definition.retry.on_retry(ctx, error, datetime.fromtimestamp(next_at_ms / 1000, UTC))
    except (Exception, asyncio.CancelledError) as failure:
        node.log.warning("on_retry failed; the job is retried all the same", job=definition.name, error=repr(failure))


def _timeout_s(attempt: Attempt, definition: JobDefinition) -> float | None:
    timeout_ms = attempt.job.timeout_ms
    return definition.timeout_s if timeout_ms is None else timeout_ms / 1000


def _age_s(attempt: Attempt, definition: JobDefinition, node: NodeParts) -> float:
    """Seconds since the job was enqueued; of interest only to a policy with a budget."""
    if definition.retry.budget is None:
        return 0.0
    return (node.clock.wall_ms() - attempt.job.inserted_at) / 1000
