"""What a storm came to: what was enqueued, stored and done, each held against the others. Pure.

Jobs are told apart by a number that the producer gave each of them as its argument: ids are the system's own, so that
one enqueue that made two jobs would not show by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from .records import Record, by_job


@dataclass(frozen=True, slots=True)
class Enqueues:
    """What the producer knows of its batches, each a sequence of numbers."""

    acknowledged: Sequence[Sequence[int]] = ()  # there, once each
    refused: Sequence[Sequence[int]] = ()  # not there
    unknown: Sequence[Sequence[int]] = ()  # the answer did not come: there once, or not; of a batch all or none


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the store holds it in the end."""

    job: str
    number: int
    is_terminal: bool
    is_completed: bool
    claim_token: int
    answer: object  # the handler's: its fencing token


@dataclass(frozen=True, slots=True)
class Hit:
    """What was done to a process: killed, or stopped until `until`."""

    pid: int
    at: float  # monotonic seconds
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of what must not be (`lost` to `wrong_counts`), and of what is bounded."""

    lost: int  # acknowledged, and neither waiting nor completed with its effect
    doubled: int  # stored more often than enqueued: twice, or although refused, or never asked for
    torn: int  # batches of which a part is stored
    stuck: int  # not terminal in the end
    stale_accepted: int  # terminal writes beyond the one under the highest token, or an answer from another token
    wrong_counts: int  # states whose counter differs from a recount
    unexplained_starts: int  # begun again although the process that had it was neither killed nor stopped
    dup_effects: int
    dup_starts: int
    max_recovery_s: float  # from a kill to the next start of a job that it interrupted

    def problems(self, dups_allowed: float, *, explains_starts: bool = True) -> list[str]:
        """Why the storm was not passed; empty if it was."""
        must_not_be = ["lost", "doubled", "torn", "stuck", "stale_accepted", "wrong_counts"]
        if explains_starts:
            must_not_be.append("unexplained_starts")
        found = [f"{name}={value}" for name in must_not_be if (value := getattr(self, name))]
        if self.dup_effects > dups_allowed:
            found.append(f"dup_effects={self.dup_effects} of {dups_allowed:g} allowed")
        return found


def judge(
    enqueues: Enqueues,
    rows: Sequence[Row],
    records: Sequence[Record],
    hits: Sequence[Hit],
    accepted: Sequence[tuple[str, int]],
    wrong_counts: int,
) -> Verdict:
    """Everything held against everything. `accepted`: each terminal write that took effect, with its token."""
    done = by_job(list(records))
    effects = Counter(record.job for record in records if record.what == "effect")
    starts = Counter(record.job for record in records if record.what == "start")
    row_of = {row.number: row for row in rows}
    stored = Counter(row.number for row in rows)
    wanted = set(chain.from_iterable(enqueues.acknowledged))
    welcome = wanted.union(*enqueues.unknown)
    batches = [*enqueues.acknowledged, *enqueues.unknown]
    return Verdict(
        lost=sum(_is_lost(row_of.get(number), effects) for number in wanted)
        + sum(_is_lost(row, effects) for row in rows if row.number not in wanted),
        doubled=sum(count - (number in welcome) for number, count in stored.items()),
        torn=sum(0 < sum(number in stored for number in batch) < len(batch) for batch in batches),
        stuck=sum(not row.is_terminal for row in rows),
        stale_accepted=_stale(rows, done, accepted),
        wrong_counts=wrong_counts,
        unexplained_starts=_unexplained(done, hits),
        dup_effects=sum(count - 1 for count in effects.values()),
        dup_starts=sum(count - 1 for count in starts.values()),
        max_recovery_s=max(_recoveries(done, {hit.pid: hit.at for hit in hits if hit.until is None}), default=0.0),
    )


def _is_lost(row: Row | None, effects: Mapping[str, int]) -> bool:
    return row is None or (row.is_terminal and not (row.is_completed and effects.get(row.job)))


def _stale(rows: Sequence[Row], done: Mapping[str, Sequence[Record]], accepted: Sequence[tuple[str, int]]) -> int:
    tokens: dict[str, list[int]] = {}
    for job, token in accepted:
        tokens.setdefault(job, []).append(token)
    stale = 0
    for row in rows:
        highest = max([row.claim_token, *(record.token for record in done.get(row.job, ()))])
        expected = [highest] if row.is_terminal else []
        stale += tokens.get(row.job, []) != expected or (row.is_completed and row.answer != highest)
    return stale


def _unexplained(done: Mapping[str, Sequence[Record]], hits: Sequence[Hit]) -> int:
    hits_of: dict[int, list[Hit]] = {}
    for hit in hits:
        hits_of.setdefault(hit.pid, []).append(hit)
    count = 0
    for records in done.values():
        starts = [record for record in records if record.what == "start"]
        for start, following in pairwise(starts):
            count += not any(
                hit.at < following.at and (hit.until is None or hit.until > start.at)
                for hit in hits_of.get(start.pid, ())
            )
    return count


def _recoveries(done: Mapping[str, Sequence[Record]], killed_at: Mapping[int, float]) -> Iterable[float]:
    for records in done.values():
        starts = [record for record in records if record.what == "start"]
        ended = {record.token for record in records if record.what == "effect"}
        for start, following in pairwise(starts):
            if start.token not in ended and start.pid in killed_at:
                yield following.at - killed_at[start.pid]
