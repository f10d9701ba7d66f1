"""Five nodes of a cluster in virtual time over a bad network: no term with two holders, no write with an old term.

    python bench/simulate.py [--seeds 200] [--first 0] [--drift 0.02] [--json FILE]

Each seed is a storm of its own: machines crash, stand still, are stopped, are cut off in one direction or both, calls
are lost and late; the leader is hit more often than others. Then all heals: somebody must lead within a lease and two
thirds, go on to lead, and every job must end. Exit code 0 only if no seed had anything wrong; each that had is told
with the command that runs it again, event for event. With `--seeds 1` the nodes' log lines are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from callboard.testing import simulate
from harness.cluster_storm import ClusterStorm, Verdict, again
from harness.tell import tell


def run(first: int, seeds: int, drift: float) -> dict[str, object]:
    """All of them, and what they came to."""
    problems: list[str] = []
    verdicts: list[Verdict] = []
    events = 0
    virtual_s = 0.0
    fates: Counter[str] = Counter()
    began, used = time.perf_counter(), time.process_time()
    for seed in range(first, first + seeds):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                done = simulate(ClusterStorm(seed, drift=drift).run, seed=seed)
        except Exception as error:
            problems.append(
                f"seed {seed}: {''.join(traceback.format_exception_only(error)).strip()}; {again(seed, drift)}"
            )
            continue
        events += done.events
        virtual_s += done.virtual_s
        verdicts.append(done.value)
        fates += done.value.fates
        if done.value.wrong:
            problems.append(f"seed {seed}: {'; '.join(done.value.wrong[:3])}; {again(seed, drift)}")
    return {
        "seeds": seeds,
        "failures": len(problems),
        "worst_failover_s": round(max((verdict.failover_s for verdict in verdicts), default=0.0), 2),
        "worst_drain_s": round(max((verdict.drained_s for verdict in verdicts), default=0.0), 2),
        "terms": sum(verdict.terms for verdict in verdicts),
        "writes_accepted": sum(verdict.accepted for verdict in verdicts),
        "writes_refused": sum(verdict.refused for verdict in verdicts),
        "jobs": sum(verdict.jobs for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "came_late": sum(verdict.came_late for verdict in verdicts),
        **dict(sorted(fates.items())),
        "events": events,
        "virtual_s": round(virtual_s),
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - used, 1),
        "problems": problems,
        "verdict": "FAIL" if problems or not verdicts else "PASS",
    }


def main() -> int:
    """Exit code 0: passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200, help="how many [200]")
    parser.add_argument("--first", type=int, default=0, help="the first of them [0]")
    parser.add_argument("--drift", type=float, default=0.0, help="of clocks, in each second, at most [0]")
    parser.add_argument("--json", type=Path, default=Path("build") / "bench" / "simulate.json")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds: expected at least 1")
    if not 0 <= options.drift <= 0.05:
        parser.error(
            "--drift: expected 0 to 0.05; a term is trusted for nine tenths of a lease, so a tenth is too much"
        )
    if options.seeds > 1:
        logging.getLogger("callboard").setLevel(logging.CRITICAL)
    return tell("SIMULATE", run(options.first, options.seeds, options.drift), options.json)


if __name__ == "__main__":
    sys.exit(main())
