"""A handler's answers, and errors as text that is safe to store."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import timedelta
from typing import Any

import pytest

from callboard.actors.failures import describe, record
from callboard.actors.outcome import Cancel, Discard, JobTimeout, RetryAfter, Snooze
from callboard.kernel.durations import Duration
from callboard.kernel.errors import CallboardError

MAX_RECORD_BYTES = 64 * 1024


@pytest.mark.parametrize("answer", [Snooze, RetryAfter])
@pytest.mark.parametrize(("given", "seconds"), [(5, 5.0), ("5m", 300.0), (timedelta(hours=1), 3600.0), (0, 0.0)])
def test_an_answer_takes_any_duration(answer: type[Snooze] | type[RetryAfter], given: Duration, seconds: float) -> None:
    assert answer(given).seconds == seconds
    assert answer(given) == answer(seconds)


@pytest.mark.parametrize("answer", [Snooze, RetryAfter])
@pytest.mark.parametrize("given", [-1, "soon", None, True, float("nan")])
def test_an_answer_refuses_what_is_no_duration(answer: type[Snooze] | type[RetryAfter], given: Any) -> None:
    with pytest.raises(ValueError, match=f"^{answer.__name__}: expected "):
        answer(given)


@pytest.mark.parametrize("answer", [Snooze(5), RetryAfter("5m"), Cancel("why"), Discard()])
def test_an_answer_is_frozen_and_travels_between_processes(answer: Any) -> None:
    field = dataclasses.fields(answer)[0].name

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(answer, field, 3)
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_timeout_is_a_timeout_error_that_says_how_long() -> None:
    error = JobTimeout(30.0)

    assert isinstance(error, TimeoutError)
    assert isinstance(error, CallboardError)
    assert str(error) == "the attempt ran longer than its timeout of 30 s"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


class Declined(Exception):
    """An error of a user's."""


class Mute(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Leaving(Exception):
    """Its text ends the process, if one lets it."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Numeric(Exception):
    """Its text is none."""

    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class Shout(str):
    """A text that encodes as it likes."""

    __slots__ = ()

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise RuntimeError("not me")


class Loud(Exception):
    """Its text is of a subclass of str."""

    def __str__(self) -> str:
        return Shout("hey")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_an_error_is_kept_with_kind_message_and_traceback() -> None:
    kept = describe(raised(Declined("card 7")))

    assert kept.kind == f"{__name__}.Declined"
    assert kept.message == "card 7"
    assert kept.traceback.startswith("Traceback (most recent call last):\n")
    assert "in raised\n" in kept.traceback
    assert kept.traceback.endswith("Declined: card 7\n")


def test_a_built_in_error_goes_without_its_module() -> None:
    assert describe(ValueError("x")).kind == "ValueError"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Mute(), "<its __str__ raised RuntimeError>"),
        (Leaving(), "<its __str__ raised SystemExit>"),
        (Numeric(), "<its __str__ raised TypeError>"),
        (Loud(), "hey"),
        (ValueError(), ""),
        (ValueError("a\ud800b"), "a?b"),
        (ValueError("a\x00b"), "a\N{REPLACEMENT CHARACTER}b"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_any_text_of_an_error_is_made_safe(error: Exception, message: str) -> None:
    kept = describe(raised(error))

    assert kept.message == message
    for text in kept:
        text.encode()
        assert "\x00" not in text


@pytest.mark.parametrize("text", ["a" * 10_000_000, "é" * 3_000_000, "\ud800" * 1_000_000, "x" * 8_193])
def test_a_huge_error_is_cut_in_the_middle(text: str) -> None:
    kept = describe(raised(ValueError("first " + text + " last")))

    assert sum(len(part.encode()) for part in kept) <= MAX_RECORD_BYTES
    assert kept.message.startswith("first ")
    assert kept.message.endswith(" last")
    assert " more ...\n" in kept.message
    assert kept.traceback.startswith("Traceback ")
    assert kept.traceback.endswith(" last\n")


@pytest.mark.parametrize("size", [8_000, 8_192])
def test_an_error_of_a_fair_size_is_kept_whole(size: int) -> None:
    assert describe(ValueError("x" * size)).message == "x" * size


def recurse(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")
    recurse(depth - 1)


def test_a_deep_traceback_is_kept_within_bounds() -> None:
    with pytest.raises(ValueError, match="bottom") as caught:
        recurse(500)

    kept = describe(caught.value)

    assert "more times]" in kept.traceback
    assert kept.traceback.endswith("ValueError: at the bottom\n")


def test_causes_and_members_of_a_group_are_kept() -> None:
    group = ExceptionGroup("two at once", [Declined("one"), KeyError("two")])

    kept = describe(raised(group, cause=Declined("the cause")))

    assert kept.kind == "ExceptionGroup"
    for text in ("Declined: one", "KeyError: 'two'", "Declined: the cause", "direct cause"):
        assert text in kept.traceback


def test_a_chain_of_ten_thousand_causes_is_described() -> None:
    error: BaseException = ValueError("first")
    for number in range(10_000):
        error = raised(ValueError(str(number)), cause=error)

    kept = describe(error)

    assert kept.message == "9999"
    assert sum(len(part.encode()) for part in kept) <= MAX_RECORD_BYTES


def test_notes_are_kept() -> None:
    error = ValueError("x")
    error.add_note("while sending to card 7")

    assert "while sending to card 7" in describe(raised(error)).traceback


def test_a_failure_without_an_exception_has_no_traceback() -> None:
    assert record("lease lost", "x" * 20_000).traceback == ""
    assert len(record("lease lost", "x" * 20_000).message.encode()) <= 8_192
