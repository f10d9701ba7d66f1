"""Errors of the kernel say what was expected, what was found and what to do."""

from __future__ import annotations

import copy

import pytest

from callboard.kernel.errors import (
    ActorCrashed,
    ActorStopped,
    AskCycle,
    AskTimeout,
    CallboardError,
    MailboxFull,
    RestartIntensityExceeded,
    describe,
)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS: list[tuple[CallboardError, str]] = [
    (MailboxFull("a", 8), "mailbox of 'a' stayed full (8 messages): send slower, or give it more room"),
    (ActorStopped("a"), "no actor takes messages at 'a': it has stopped"),
    (AskTimeout("a", 0.5, "unknown"), "no answer from 'a' within 0.5 s: the message may have been handled"),
    (
        AskTimeout("a", 5.0, "not_delivered"),
        "no answer from 'a' within 5 s: the message was still waiting in its mailbox",
    ),
    (AskCycle(["a", "b", "a"]), "ask cycle a -> b -> a: use tell, or let the first one ask"),
    (ActorCrashed("a", KeyError("k")), "'a' crashed: KeyError: 'k'"),
    (ActorCrashed("a"), "'a' was ended while it handled the message"),
    (ActorCrashed("a", Mute()), "'a' crashed: Mute: (its text cannot be shown)"),
    (
        RestartIntensityExceeded("q", 3, 5.0, KeyError("k")),
        "'q' needed more than 3 restarts in 5 s; last crash: KeyError: 'k'",
    ),
    (RestartIntensityExceeded("", 0, 1.0), "the outermost supervisor needed more than 0 restarts in 1 s"),
]


@pytest.mark.parametrize(("error", "text"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_is_one_clear_line(error: CallboardError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in ERRORS], ids=lambda error: type(error).__name__)
def test_an_error_survives_copying(error: CallboardError) -> None:
    again = copy.copy(error)

    assert type(again) is type(error)
    assert again.args == error.args


def test_an_error_without_text_is_named_by_its_type() -> None:
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"
