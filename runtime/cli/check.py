"""`callboard check MODULE:RUNTIME`: what is wrong with a runtime's jobs, without a store, every problem at once."""

from __future__ import annotations

import typer

from .options import JsonOption, TargetArgument


def check(target: TargetArgument, as_json: JsonOption = False) -> None:
    """Check a runtime's jobs, without a store."""
    from .output import Column, print_json, print_table, remark
    from .target import load_runtime

    jobs = load_runtime(target).jobs
    problems = [problem for name in sorted(jobs) for problem in jobs[name].definition.problems()]
    if as_json:
        print_json({"ok": not problems, "jobs": len(jobs), "problems": problems})
    else:
        if problems:
            print_table((Column("problem"),), [[problem] for problem in problems], has_header=False)
        said = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}" if problems else "no problems"
        remark(f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} checked, {said}")
    if problems:
        raise typer.Exit(1)
