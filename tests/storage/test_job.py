"""The table of transitions and the states' codes, as pure functions."""

from __future__ import annotations

import pytest

from callboard.storage.job import TERMINAL, TRANSITIONS, WAITING, JobState, NewJob, Verb, may


def test_codes_are_never_renumbered() -> None:
    assert {state.value: state.code for state in JobState} == {
        "available": 0,
        "scheduled": 1,
        "retryable": 2,
        "executing": 3,
        "completed": 4,
        "failed": 5,
        "cancelled": 6,
        "discarded": 7,
    }


@pytest.mark.parametrize("state", list(JobState))
def test_a_code_leads_back_to_its_state(state: JobState) -> None:
    assert JobState.of_code(state.code) is state


@pytest.mark.parametrize("code", [8, 255])
def test_a_code_that_nobody_wrote_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code} is no job state: expected 0 to 7"):
        JobState.of_code(code)


def test_a_negative_code_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 is no job state"):
        JobState.of_code(-1)


def test_every_state_waits_executes_or_has_ended() -> None:
    assert WAITING | TERMINAL | {JobState.EXECUTING} == frozenset(JobState)
    assert not WAITING & TERMINAL
    assert [state for state in JobState if state.is_terminal] == sorted(TERMINAL, key=lambda state: state.code)


def test_every_verb_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Verb)


def test_only_the_holder_of_a_lease_ends_it_and_every_such_write_is_fenced() -> None:
    from_executing = {verb for verb in Verb if may(verb, JobState.EXECUTING)}

    assert from_executing == {verb for verb in Verb if TRANSITIONS[verb].is_fenced}


def test_a_job_that_ended_moves_by_an_operators_word_only() -> None:
    for state in TERMINAL:
        assert {verb for verb in Verb if may(verb, state)} == {Verb.REVIVE, Verb.DELETE}


def test_every_state_but_the_first_is_reached_and_every_waiting_one_left() -> None:
    reached = frozenset().union(*(transition.targets for transition in TRANSITIONS.values()))

    assert reached == frozenset(JobState)
    for state in WAITING:
        assert may(Verb.CLAIM, state) or may(Verb.PROMOTE, state)


def test_only_a_claim_leads_to_executing() -> None:
    assert [verb for verb in Verb if JobState.EXECUTING in TRANSITIONS[verb].targets] == [Verb.CLAIM]


def test_a_new_job_has_the_documented_defaults() -> None:
    job = NewJob(b"i" * 16, "name", "default", b"")

    assert (job.priority, job.run_at, job.timeout_ms) == (2, None, None)
