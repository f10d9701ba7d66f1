"""What an attempt came to: from what the handler raised or answered to an outcome. Pure."""

from __future__ import annotations

import random

from .definition import JobDefinition, ResultNotStorable, ResultTooLarge
from .failures import describe, record
from .outcome import (
    FAILED_ATTEMPTS,
    FAILED_BUDGET,
    FAILED_RESULT_NOT_STORABLE,
    FAILED_RESULT_TOO_LARGE,
    FAILED_TERMINAL,
    FAILED_UNDECODABLE,
    Cancel,
    Cancelled,
    Completed,
    Discard,
    Discarded,
    Failed,
    Outcome,
    RetryAfter,
    Retrying,
    Snooze,
    Snoozed,
)
from .retry import Retry

_ANSWERS = frozenset({Snooze, Cancel, Discard, RetryAfter})


def judge_return(definition: JobDefinition, value: object, *, attempt: int, age_s: float = 0.0) -> Outcome:
    """What comes after `attempt`, counted from 1, whose handler returned `value`, one of the answers or a result.

    `age_s`: seconds since the job was enqueued. A result that is too large or cannot be stored fails the job without
    another attempt, since that would give the same.
    """
    if type(value) in _ANSWERS:
        return _judge_answer(definition.retry, value, attempt, age_s)
    try:
        return Completed(definition.encode_result(value))
    except ResultTooLarge as error:
        return Failed(FAILED_RESULT_TOO_LARGE, describe(error))
    except ResultNotStorable as error:
        return Failed(FAILED_RESULT_NOT_STORABLE, describe(error))


def judge_error(
    policy: Retry, error: BaseException, *, attempt: int, rng: random.Random, age_s: float = 0.0
) -> Retrying | Failed:
    """What comes after `attempt`, counted from 1, ended with `error`; `age_s`: seconds since the job was enqueued."""
    described = describe(error)
    if not policy.may_retry(error):
        return Failed(FAILED_TERMINAL, described)
    if attempt >= policy.max_attempts:
        return Failed(FAILED_ATTEMPTS, described)
    delay_s = policy.delay(attempt, rng)
    if not policy.within_budget(age_s + delay_s):
        return Failed(FAILED_BUDGET, described)
    return Retrying(delay_s, described)


def judge_payload(error: Exception) -> Failed:
    """What a job comes to whose stored arguments cannot be read or do not fit its handler: failed at once."""
    return Failed(FAILED_UNDECODABLE, describe(error))


def _judge_answer(policy: Retry, answer: object, attempt: int, age_s: float) -> Outcome:
    match answer:
        case Snooze(seconds=delay_s):
            return Snoozed(delay_s)
        case Cancel(reason=reason):
            return Cancelled(reason)
        case Discard(reason=reason):
            return Discarded(reason)
        case RetryAfter(seconds=delay_s):
            return _judge_retry_after(policy, delay_s, attempt, age_s)
    raise TypeError(f"{type(answer).__name__} is no answer of a handler")


def _judge_retry_after(policy: Retry, delay_s: float, attempt: int, age_s: float) -> Outcome:
    described = record("RetryAfter", f"the handler asked for another attempt after {delay_s:g} s")
    if attempt >= policy.max_attempts:
        return Failed(FAILED_ATTEMPTS, described)
    if not policy.within_budget(age_s + delay_s):
        return Failed(FAILED_BUDGET, described)
    return Retrying(delay_s, described)
