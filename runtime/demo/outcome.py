"""What a run of the demo comes to, as `--json` prints it."""

from __future__ import annotations

from dataclasses import dataclass

from .report import Report


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one run. `completed + failed == jobs`: every file is accounted for."""

    jobs: int  # one for each file; the last job, which made the report, is not among them
    completed: int
    failed: int  # also what somebody cancelled meanwhile
    attempts: int  # how often a node began one of the jobs, counting those begun by a node that died
    rescued: int  # how often a job was taken over from a node that died
    nodes: int  # node processes at work at a time
    seconds: float  # from the first enqueue to the report
    jobs_per_second: float  # of the jobs that ended in this run
    report: Report
