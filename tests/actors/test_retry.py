"""The retry policy and the judgement of an attempt: pure, so every rule is a row here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.definition import BadArguments, HandlerNotFound, define
from callboard.actors.judge import judge_error, judge_payload, judge_return
from callboard.actors.outcome import (
    Cancel,
    Cancelled,
    Completed,
    Discard,
    Discarded,
    Failed,
    JobTimeout,
    Outcome,
    RetryAfter,
    Retrying,
    Snooze,
    Snoozed,
)
from callboard.actors.retry import Exponential, InvalidRetry, Retry
from callboard.kernel.codec import Undecodable, decode
from callboard.kernel.durations import Duration, InvalidDuration


class Declined(Exception):
    """An error of a handler's own."""


class DeclinedForGood(Declined):
    """A kind of it."""


def broken_predicate(error: Exception) -> bool:
    raise KeyError("status")


TIMEOUT = JobTimeout(30.0)


@pytest.mark.parametrize(
    ("policy", "error", "retried"),
    [
        # The default: everything but programming errors, arguments that cannot be read, and a cancelled scope.
        (Retry(), ValueError(), True),
        (Retry(), Declined(), True),
        (Retry(), TIMEOUT, True),
        (Retry(), HandlerNotFound(), True),
        (Retry(), TypeError(), False),
        (Retry(), BadArguments(), False),
        (Retry(), AttributeError(), False),
        (Retry(), Undecodable(), False),
        (Retry(), asyncio.CancelledError(), False),
        # for_: these only, and these even where the default says no.
        (Retry(for_=Declined), Declined(), True),
        (Retry(for_=(Declined, KeyError)), DeclinedForGood(), True),
        (Retry(for_=(Declined,)), ValueError(), False),
        (Retry(for_=(Declined,)), TIMEOUT, False),
        (Retry(for_=(TimeoutError,)), TIMEOUT, True),
        (Retry(for_=(TypeError,)), TypeError(), True),
        # when stands over for_.
        (Retry(for_=(Declined,), when=lambda error: isinstance(error, ValueError)), ValueError(), True),
        (Retry(for_=(Declined,), when=lambda error: isinstance(error, ValueError)), Declined(), False),
        (Retry(when=lambda error: True), TypeError(), True),
        (Retry(for_=(Declined,), when=broken_predicate), Declined(), True),
        (Retry(for_=(Declined,), when=broken_predicate), ValueError(), False),
        # never stands over all.
        (Retry(never=ValueError), ValueError(), False),
        (Retry(never=(DeclinedForGood,), for_=(Declined,)), Declined(), True),
        (Retry(never=(DeclinedForGood,), for_=(Declined,)), DeclinedForGood(), False),
        (Retry(never=(ValueError,), when=lambda error: True), ValueError(), False),
        (Retry(never=(TimeoutError,)), TIMEOUT, False),
    ],
)
def test_precedence_is_never_when_for_default(policy: Retry, error: BaseException, retried: bool) -> None:
    outcome = judge_error(policy, error, attempt=1, rng=random.Random(1))

    assert policy.may_retry(error) is retried
    if retried:
        assert isinstance(outcome, Retrying)
    else:
        assert isinstance(outcome, Failed)
        assert outcome.reason == "terminal"
    assert outcome.error.kind.endswith(type(error).__name__)


@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 2), (2, 4), (3, 8), (11, 2048), (12, 3600), (10_000, 3600)])
def test_waits_double_up_to_an_hour(attempt: int, wait_s: float) -> None:
    assert Retry(jitter="none").delay(attempt, random.Random(1)) == wait_s


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_full_jitter_lies_between_nothing_and_the_wait(attempt: int, seed: int) -> None:
    wait_s = Retry(jitter="none").delay(attempt, random.Random(seed))

    jittered_s = Retry().delay(attempt, random.Random(seed))

    assert 0 <= jittered_s <= wait_s
    assert jittered_s == Retry().delay(attempt, random.Random(seed))


def test_jitter_spreads_over_the_whole_wait() -> None:
    rng = random.Random(3)

    waits = [Retry().delay(3, rng) for _ in range(1_000)]

    assert min(waits) < 0.5
    assert max(waits) > 7.5


def broken_backoff(attempt: int) -> Duration:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        ("30s", [30, 30, 30]),
        (timedelta(minutes=1), [60, 60, 60]),
        (0, [0, 0, 0]),
        (Exponential("100ms", factor=10, cap="5s"), [0.1, 1, 5]),
        (Exponential(0), [0, 0, 0]),
        (Exponential(factor=1), [2, 2, 2]),
        (lambda attempt: attempt * 10, [10, 20, 30]),
        (lambda attempt: f"{attempt}m", [60, 120, 180]),
        (broken_backoff, [2, 4, 8]),
        (lambda attempt: -1, [2, 4, 8]),
    ],
)
def test_a_backoff_is_a_wait_a_curve_or_a_function(
    backoff: Exponential | Duration | Callable[[int], Duration], waits: list[float]
) -> None:
    policy = Retry(backoff=backoff, jitter="none")

    assert [policy.delay(attempt, random.Random(1)) for attempt in (1, 2, 3)] == pytest.approx(waits)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_attempts": 0}, "max_attempts: expected an int of at least 1; found 0"),
        ({"max_attempts": True}, "max_attempts"),
        ({"max_attempts": 2.0}, "max_attempts"),
        ({"max_attempts": "8"}, "max_attempts"),
        ({"jitter": "some"}, 'jitter: expected "full" or "none"'),
        ({"for_": (ValueError, "KeyError")}, "for_: expected exception classes"),
        ({"never": int}, "never: expected exception classes"),
        ({"never": [ValueError]}, "never: expected exception classes"),
        ({"when": "always"}, "when: expected a function"),
        ({"on_retry": 3}, "on_retry: expected a function"),
        ({"backoff": "soon"}, "backoff: expected seconds"),
        ({"backoff": -1}, "backoff: expected zero or more"),
        ({"budget": "long"}, "budget: expected seconds"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_on_one_line(options: dict[str, Any], what: str) -> None:
    with pytest.raises((InvalidRetry, InvalidDuration), match=what) as refusal:
        Retry(**options)

    assert isinstance(refusal.value, ValueError)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("factor", [0.5, float("nan"), float("inf")])
def test_a_curve_that_cannot_work_is_refused(factor: float) -> None:
    with pytest.raises(InvalidRetry, match="factor: expected a number of at least 1"):
        Exponential(factor=factor)


def test_the_last_attempt_is_not_followed_by_another() -> None:
    policy = Retry(max_attempts=3)

    outcomes = [judge_error(policy, ValueError("x"), attempt=attempt, rng=random.Random(1)) for attempt in (1, 2, 3, 4)]

    assert [type(outcome) for outcome in outcomes] == [Retrying, Retrying, Failed, Failed]
    assert isinstance(outcomes[2], Failed)
    assert outcomes[2].reason == "attempts"


def test_no_attempt_begins_beyond_the_budget() -> None:
    policy = Retry(backoff=10, jitter="none", budget="1m")

    in_time = judge_error(policy, ValueError(), attempt=1, rng=random.Random(1), age_s=50)
    too_late = judge_error(policy, ValueError(), attempt=1, rng=random.Random(1), age_s=50.1)

    assert isinstance(in_time, Retrying)
    assert isinstance(too_late, Failed)
    assert too_late.reason == "budget"


async def handler(name: str) -> str:
    return name


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Snooze("5m"), Snoozed(300.0)),
        (Cancel("no longer wanted"), Cancelled("no longer wanted")),
        (Cancel(), Cancelled("")),
        (Discard("a duplicate"), Discarded("a duplicate")),
    ],
)
def test_an_answer_of_the_handler_is_its_outcome(answer: object, outcome: Outcome) -> None:
    assert judge_return(define(handler), answer, attempt=1) == outcome


def test_a_value_completes_the_job() -> None:
    outcome = judge_return(define(handler), "done", attempt=1)

    assert isinstance(outcome, Completed)
    assert decode(outcome.result) == "done"


def test_retry_after_takes_its_own_wait_and_the_policys_bounds() -> None:
    definition = define(handler, retry=Retry(max_attempts=2, budget=100))

    again = judge_return(definition, RetryAfter(60), attempt=1)
    last = judge_return(definition, RetryAfter(60), attempt=2)
    late = judge_return(definition, RetryAfter(60), attempt=1, age_s=41)

    assert isinstance(again, Retrying)
    assert again.delay_s == 60
    assert again.error.kind == "RetryAfter"
    assert [type(last), type(late)] == [Failed, Failed]
    assert [last.reason, late.reason] == ["attempts", "budget"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        ("x" * 1_048_576, "result_too_large", "1,048,581 bytes, the limit is 1,048,576"),
        ([1, object()], "result_not_storable", r"result\[1\]: an object of type object"),
    ],
    ids=["too large", "not storable"],
)
def test_a_result_that_cannot_be_kept_fails_without_another_attempt(value: object, reason: str, said: str) -> None:
    outcome = judge_return(define(handler), value, attempt=1)

    assert isinstance(outcome, Failed)
    assert outcome.reason == reason
    assert said.replace("\\", "") in outcome.error.message


def test_a_payload_that_cannot_be_read_fails_at_once() -> None:
    outcome = judge_payload(Undecodable("3 bytes that cannot be decoded"))

    assert outcome.reason == "undecodable"
    assert outcome.error.message == "3 bytes that cannot be decoded"


@pytest.mark.parametrize(("retry", "waits", "longest_s"), [(Retry(), 7, 254), (Retry(max_attempts=13), 12, 7694)])
def test_the_default_waits_are_as_its_docstring_says(retry: Retry, waits: int, longest_s: int) -> None:
    bounds = [
        replace(retry, jitter="none").delay(attempt, random.Random(1)) for attempt in range(1, retry.max_attempts)
    ]

    assert len(bounds) == waits
    assert bounds[:7] == [2, 4, 8, 16, 32, 64, 128]
    assert sum(bounds) == longest_s
