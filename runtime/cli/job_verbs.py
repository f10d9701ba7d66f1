"""`callboard jobs retry`, `cancel` and `delete`: by id, or in bulk for all jobs that match.

Ids are looked up first: if one is unknown, nothing is done. In bulk the count is shown and confirmed, unless --yes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ...storage.job import TERMINAL, WAITING, JobState, Verb, may
from . import operate
from .failures import CommandFailed, WrongUse
from .jobs import jobs_app
from .options import (
    WAIT,
    IdsArgument,
    JsonOption,
    NameOption,
    QueueOption,
    StateOption,
    StoreOption,
    WaitOption,
    YesOption,
    read_states,
)

if TYPE_CHECKING:
    from ...storage.ports.store import Store
    from ...storage.records import JobFilter

_DONE = {Verb.REVIVE: "retried", Verb.CANCEL: "cancelled", Verb.DELETE: "deleted"}
_WORD = {Verb.REVIVE: "retry", Verb.CANCEL: "cancel", Verb.DELETE: "delete"}
_REASON = "cancelled by an operator"


@jobs_app.command("retry")
def retry_jobs(
    ids: IdsArgument = None,
    state: StateOption = None,
    queue: QueueOption = None,
    name: NameOption = None,
    yes: YesOption = False,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Make jobs available anew.

    They start over, with all their attempts. In bulk: those that failed, unless --state.
    """
    wanted = _wanted(Verb.REVIVE, state, queue, name, unless_said=frozenset({JobState.FAILED}))
    _carry_out(Verb.REVIVE, ids, wanted, yes, operate.place(store, wait), as_json)


@jobs_app.command("cancel")
def cancel_jobs(
    ids: IdsArgument = None,
    state: StateOption = None,
    queue: QueueOption = None,
    name: NameOption = None,
    yes: YesOption = False,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Cancel jobs.

    Those that wait are cancelled, those that run are asked to stop. In bulk: all that have not ended, unless --state.
    """
    wanted = _wanted(Verb.CANCEL, state, queue, name, unless_said=WAITING | {JobState.EXECUTING})
    _carry_out(Verb.CANCEL, ids, wanted, yes, operate.place(store, wait), as_json)


@jobs_app.command("delete")
def delete_jobs(
    ids: IdsArgument = None,
    state: StateOption = None,
    queue: QueueOption = None,
    name: NameOption = None,
    yes: YesOption = False,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Remove jobs with their history.

    None that runs. In bulk: those that have ended, unless --state.
    """
    wanted = _wanted(Verb.DELETE, state, queue, name, unless_said=TERMINAL)
    _carry_out(Verb.DELETE, ids, wanted, yes, operate.place(store, wait), as_json)


def _wanted(
    verb: Verb, state: list[str] | None, queue: str | None, name: str | None, *, unless_said: frozenset[JobState]
) -> JobFilter | None:
    """Which jobs a bulk verb means; None without any option that says so."""
    from ...storage.records import JobFilter

    if not state and queue is None and name is None:
        return None
    states = read_states(state or ())
    for each in sorted(states):
        if not may(verb, each) and not (verb is Verb.CANCEL and each is JobState.EXECUTING):
            raise WrongUse(f"{each} jobs cannot be {_DONE[verb]}; expected --state {_listed(_states_for(verb))}")
    return JobFilter(states or unless_said, queue, name)


def _states_for(verb: Verb) -> list[JobState]:
    return [each for each in JobState if may(verb, each) or (verb is Verb.CANCEL and each is JobState.EXECUTING)]


def _carry_out(
    verb: Verb, ids: Sequence[str] | None, wanted: JobFilter | None, yes: bool, place: operate.Place, as_json: bool
) -> None:
    from .output import print_json, remark

    if bool(ids) == (wanted is not None):
        raise WrongUse(f"expected either ids or --state, --queue, --name to say which jobs to {_WORD[verb]}")
    if wanted is None:
        outcome, left = operate.run(_by_id(verb, ids or (), place))
    else:
        total = operate.run(_count(place, wanted))
        if total and not yes:
            _confirm(f"{total:,} {_shown(wanted)}", verb)
        outcome, left = operate.run(_in_bulk(verb, wanted, place)) if total else (Counter[str](), [])
    if as_json:
        words = ["cancelled", "requested", "ending", "too_late"] if verb is Verb.CANCEL else [_DONE[verb], "refused"]
        print_json({word: outcome[word] for word in words})
    else:
        remark(_summary(verb, outcome))
    if left and wanted is None:
        raise CommandFailed("; ".join(left))


async def _count(place: operate.Place, wanted: JobFilter) -> int:
    async with operate.opened(place) as store:
        return await store.jobs.count(wanted)


async def _by_id(verb: Verb, typed: Sequence[str], place: operate.Place) -> tuple[Counter[str], list[str]]:
    from ...storage.ids import parse_id

    ids = list(dict.fromkeys(parse_id(text) for text in typed))
    async with operate.opened(place) as store:
        found = await store.jobs.get(ids)
        unknown = [text for text in typed if parse_id(text) not in {job.id for job in found if job is not None}]
        if unknown:
            raise WrongUse(f"no job {', '.join(unknown)} in {place.shown}; nothing was {_DONE[verb]}")
        return await _apply(verb, ids, store)


async def _in_bulk(verb: Verb, wanted: JobFilter, place: operate.Place) -> tuple[Counter[str], list[str]]:
    total: Counter[str] = Counter()
    async with operate.opened(place) as store:
        async for page in operate.pages(store, wanted):
            outcome, _ = await _apply(verb, [job.id for job in page], store)
            total += outcome
    return total, []


async def _apply(verb: Verb, ids: list[bytes], store: Store) -> tuple[Counter[str], list[str]]:
    """What became of how many jobs, and a line for each that was left as it is; nodes are told."""
    from ...storage.ids import format_id
    from ...storage.records import CancelAnswer, Wakeup

    if verb is Verb.CANCEL:
        why = {
            CancelAnswer.TOO_LATE: "had ended",
            CancelAnswer.MISSING: "had ended",
            CancelAnswer.ENDING: "ends in an open transaction of its handler; once that is over, ask again",
        }
        answers = await store.jobs.cancel(ids, reason=_REASON)
        await store.wakeups.announce([Wakeup("control", ""), Wakeup("finished", "")])
        late = [
            f"job {format_id(job_id)} {why[answer]}"
            for job_id, answer in zip(ids, answers, strict=True)
            if answer in why
        ]
        return Counter(answer.value.replace(" ", "_") for answer in answers), late
    done: list[bool] = await (store.jobs.revive(ids) if verb is Verb.REVIVE else store.jobs.delete(ids))
    await store.wakeups.announce([Wakeup("work" if verb is Verb.REVIVE else "finished", "")])
    left = [
        f"job {format_id(job_id)} is executing; cancel it first" for job_id, ok in zip(ids, done, strict=True) if not ok
    ]
    return Counter({_DONE[verb]: sum(done), "refused": len(left)}), left


def _confirm(what: str, verb: Verb) -> None:
    if not sys.stdin.isatty():
        raise WrongUse(f"{what} would be {_DONE[verb]}; add --yes, since there is no terminal to ask")
    typer.confirm(f"{what} will be {_DONE[verb]}. Go on?", abort=True, err=True)


def _summary(verb: Verb, outcome: Counter[str]) -> str:
    done = outcome[_DONE[verb]]
    parts = [f"{done:,} job{'' if done == 1 else 's'} {_DONE[verb]}"]
    if outcome["requested"]:
        parts.append(f"{outcome['requested']:,} executing asked to stop")
    if outcome["ending"]:
        parts.append(f"{outcome['ending']:,} ending in a transaction of their handler")
    if outcome["too_late"]:
        parts.append(f"{outcome['too_late']:,} had ended")
    if outcome["refused"]:
        parts.append(f"{outcome['refused']:,} executing left alone")
    return ", ".join(parts)


def _shown(wanted: JobFilter) -> str:
    """The filter in words: "failed jobs named send in queue mail"."""
    named = f" named {wanted.name}" if wanted.name is not None else ""
    queued = f" in queue {wanted.queue}" if wanted.queue is not None else ""
    return f"{_listed([state for state in JobState if state in wanted.states])} jobs{named}{queued}"


def _listed(states: Sequence[JobState]) -> str:
    words = [state.value for state in states]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
