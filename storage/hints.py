"""What a commit means to others: which wake-ups its messages give. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..kernel.envelope import Failure
from . import messages as m
from .records import CancelAnswer, Wakeup

_WORK = frozenset({m.InsertJobs, m.RetryJobs, m.SnoozeJobs, m.HandBackJobs})


def hints_of(messages: Sequence[Any], answers: Sequence[Any]) -> set[Wakeup]:
    """The wake-ups that committed messages give, each once; refused messages give none."""
    work: set[str] = set()  # queues: the verbs of the hot path give nothing else
    ended: set[str] = set()
    told: set[Wakeup] = set()
    for message, answer in zip(messages, answers, strict=True):
        verb = type(message)
        if type(answer) is Failure:
            continue
        if verb in _WORK:
            for item in message.items:
                work.add(item.queue)
        elif verb is m.FinishJobs:
            for item in message.items:
                ended.add(item.queue)
        else:
            told.update(_rare(message, answer))
    told.update([Wakeup("work", queue) for queue in work])
    told.update([Wakeup("finished", queue) for queue in ended])
    return told


def work_of(messages: Sequence[Any]) -> set[Wakeup]:
    """The wake-ups that the inserts among messages give, if they are not refused."""
    queues: set[str] = set()
    for message in messages:
        if type(message) is m.InsertJobs:
            queues.update([item.queue for item in message.items])
    return {Wakeup("work", queue) for queue in queues}


def only_of_inserts(messages: Sequence[Any], answers: Sequence[Any]) -> set[Wakeup]:
    """The wake-ups that the inserts among messages give, but for what others among them give too."""
    others = [pair for pair in zip(messages, answers, strict=True) if type(pair[0]) is not m.InsertJobs]
    given = work_of(messages)
    return given - hints_of(*zip(*others, strict=True)) if others else given


def _rare(message: Any, answer: Any) -> list[Wakeup]:
    match message:
        case m.RescueJobs():
            return [Wakeup("finished" if job.state.is_terminal else "work", job.queue) for job in answer]
        case m.CancelJobs():
            topics = {CancelAnswer.CANCELLED: "finished", CancelAnswer.REQUESTED: "control"}
            return [Wakeup(topics[one], "") for one in set(answer) & topics.keys()]
        case m.ReviveJobs():
            return [Wakeup("work", "")]
        case m.PauseQueues():
            return [Wakeup("control", queue) for queue in message.queues]
        case m.ResumeQueues():
            return [Wakeup("work", queue) for queue in message.queues]
        case m.SendControls():
            return [Wakeup("nodes", control.boot_id.hex()) for control in message.controls]
        case m.AnswerControls():
            return [Wakeup("nodes", "")]
    return []
