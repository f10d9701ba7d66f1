"""Which wake-ups a batch gives, and which of them only its inserts give."""

from __future__ import annotations

from callboard.kernel.envelope import Failure
from callboard.storage.errors import Full
from callboard.storage.hints import hints_of, only_of_inserts, work_of
from callboard.storage.job import JobState, NewJob
from callboard.storage.messages import InsertJobs, RescueJobs
from callboard.storage.records import Rescued, Wakeup

ID = b"i" * 16


def inserts(*queues: str) -> InsertJobs:
    return InsertJobs([NewJob(ID, "job", queue, b"") for queue in queues])


def test_inserts_give_work_in_each_queue_once() -> None:
    batch = [inserts("a", "b", "a"), inserts("b")]

    assert work_of(batch) == only_of_inserts(batch, [[True] * 3, [True]]) == {Wakeup("work", "a"), Wakeup("work", "b")}


def test_what_was_refused_gives_nothing() -> None:
    assert hints_of([inserts("a"), inserts("b")], [Failure(Full("no room")), [True]]) == {Wakeup("work", "b")}


def test_work_that_something_else_gives_too_is_not_of_inserts_alone() -> None:
    """It may be committed after the hint that went with the insert, and then is not told by that."""
    batch = [inserts("a", "b"), RescueJobs(limit=10, max_crashes=5)]
    answers = [[True, True], [Rescued(ID, "a", JobState.AVAILABLE)]]

    assert hints_of(batch, answers) == {Wakeup("work", "a"), Wakeup("work", "b")}
    assert only_of_inserts(batch, answers) == {Wakeup("work", "b")}
