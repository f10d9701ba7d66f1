"""What a storm came to: what was enqueued, stored and done, each held against the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .records import Record, by_job


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the store holds it in the end."""

    job: str
    is_terminal: bool
    is_completed: bool
    claim_token: int
    answer: object  # the handler's: its fencing token


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that was killed."""

    pid: int
    at: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of what must not be (`lost` to `wrong_counts`), and of what is bounded."""

    lost: int  # acknowledged, and neither waiting nor completed with its effect
    stuck: int  # not terminal in the end
    stale_accepted: int  # terminal writes beyond the one under the highest token, or an answer from another token
    wrong_counts: int  # states whose counter differs from a recount
    dup_effects: int
    dup_starts: int
    max_recovery_s: float  # from a kill to the next start of a job that it interrupted

    def problems(self, kills: int, dups_per_kill: float) -> list[str]:
        """Why the storm was not passed; empty if it was."""
        found = [
            f"{name}={value}"
            for name in ("lost", "stuck", "stale_accepted", "wrong_counts")
            if (value := getattr(self, name))
        ]
        if self.dup_effects > kills * dups_per_kill:
            found.append(f"dup_effects={self.dup_effects} of {kills} kills")
        return found


def judge(
    enqueued: Iterable[str],
    rows: Sequence[Row],
    records: Sequence[Record],
    kills: Sequence[Kill],
    accepted: Sequence[tuple[str, int]],
    wrong_counts: int,
) -> Verdict:
    """Everything held against everything. `accepted`: each terminal write that took effect, with its token."""
    row_of = {row.job: row for row in rows}
    done = by_job(list(records))
    effects = Counter(record.job for record in records if record.what == "effect")
    starts = Counter(record.job for record in records if record.what == "start")
    wanted = set(enqueued)
    return Verdict(
        lost=sum(_is_lost(row_of.get(job), effects[job]) for job in wanted) + len(row_of.keys() - wanted),
        stuck=sum(not row.is_terminal for row in rows),
        stale_accepted=_stale(rows, done, accepted),
        wrong_counts=wrong_counts,
        dup_effects=sum(count - 1 for count in effects.values()),
        dup_starts=sum(count - 1 for count in starts.values()),
        max_recovery_s=max(_recoveries(done, {kill.pid: kill.at for kill in kills}), default=0.0),
    )


def _is_lost(row: Row | None, effects: int) -> bool:
    return row is None or (row.is_terminal and not (row.is_completed and effects))


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


def _recoveries(done: Mapping[str, Sequence[Record]], killed_at: Mapping[int, float]) -> Iterable[float]:
    for records in done.values():
        starts = [record for record in records if record.what == "start"]
        ended = {record.token for record in records if record.what == "effect"}
        for start, following in pairwise(starts):
            if start.token not in ended and start.pid in killed_at:
                yield following.at - killed_at[start.pid]
