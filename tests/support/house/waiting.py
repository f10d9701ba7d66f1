"""No test sleeps to wait for something: it waits for that thing itself, with `tests/support/eventually.py`.

A sleep is one of these, by whatever name it was imported and whoever owns it:
- a call of `sleep` or `sleep_until`, unless its only argument is 0, which only lets others run;
- waiting for what nobody can ever bring about (an event that is made in the same expression, `sleep_forever`) up to a
  limit: with a time-out, within `wait_for`, or in a block under `timeout`, `move_on_after` or `fail_after`;
- a `select` on nothing;
- a call of `time.sleep`, `asyncio.sleep` or `anyio.sleep` in a script that is kept as text.

It is allowed within a handler, whose work may take time: a function decorated with `job`, or with a parameter `ctx`;
and where `MAY_SLEEP` says why. Hanging for ever, until somebody cancels, is no sleep.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_VIRTUAL = "in virtual time, which a sleep moves on and does not wait for"
_START = "polls until a server answers, and gives up early when its process has ended"
# A file, or a file and the outermost function or class in it -> why it may sleep.
MAY_SLEEP = {
    "tests/support/eventually.py": "the one place where tests wait",
    "tests/test_house.py": "samples of what this rule catches",
    "tests/runtime/test_sim_loop.py": _VIRTUAL,
    "tests/runtime/test_nodes_on_network.py": _VIRTUAL,
    "tests/runtime/test_sim_network.py": _VIRTUAL,
    "tests/runtime/test_simulation.py": _VIRTUAL,
    "tests/actors/test_leader.py": _VIRTUAL,
    "tests/runtime/test_recovery.py": _VIRTUAL,
    "tests/runtime/test_singletons.py": _VIRTUAL,
    "tests/support/leaders.py::Line": _VIRTUAL,
    "tests/support/network_workload.py::NetworkWorkload": _VIRTUAL,
    "tests/support/skewed_nodes.py::SkewedNodes": _VIRTUAL,
    "tests/support/workload.py::Workload": _VIRTUAL,
    "tests/support/servers/postgres.py::_launch": _START,
    "tests/support/servers/redis.py::RedisServer": _START,
    "tests/support/leaks.py::no_leaks": "polls, beneath all that eventually() itself could leave behind",
    "tests/support/fault_proxy.py::FaultProxy": "a delay is one of its faults",
    "tests/faults/load.py::Load": "its pace: a client that enqueues now and then",
    "tests/storage/sqlite/test_processes.py": "a process whose work is to hold a lock for so long",
    "tests/storage/sqlite/test_faults.py": "a process that holds a lock so long; the pace of looks at the loop",
    "tests/storage/sqlite/test_wakeups.py::test_own_commits_are_no_news": "nothing may be heard in that time",
    "tests/bad_input/test_stored_jobs.py::test_a_slow_import_lets_other_jobs_run": "a module that imports slowly",
    "tests/kernel/conformance/test_actor.py::Modern": "a limit within a message's handling is what is tested",
}

_SLEEPS = ("sleep", "sleep_until")
_FRESH = ("Event", "Condition", "Future", "create_future")
_LIMITS = ("timeout", "timeout_at", "move_on_after", "move_on_at", "fail_after", "fail_at")
_IN_TEXT = re.compile(r"\b(?:time|asyncio|anyio)\.sleep\((?!0\))")


def no_test_sleeps_to_wait(root: Path) -> list[str]:
    return [
        f"{path}:{line} sleeps in {scope or 'the module'}: wait for what is to become true, with eventually()"
        for path, scope, line in _sleeps(root)
        if path not in MAY_SLEEP and f"{path}::{scope}" not in MAY_SLEEP
    ]


def who_may_sleep_does(root: Path) -> list[str]:
    """A permission that is no longer used would hide the next mistake."""
    used = {place for path, scope, _ in _sleeps(root) for place in (path, f"{path}::{scope}")}
    return [
        f"{place} no longer sleeps: take it out of MAY_SLEEP"
        for place in MAY_SLEEP
        if place not in used and (root / place.partition("::")[0]).exists()
    ]


@lru_cache(maxsize=1)
def _sleeps(root: Path) -> list[tuple[str, str, int]]:
    """File, outermost scope and line of each sleep of the tests."""
    found = []
    for file in sorted((root / "tests").rglob("*.py")):
        syntax = ast.parse(file.read_text(encoding="utf-8"))
        aliases = _imported_as(syntax)
        path = file.relative_to(root).as_posix()
        for scope, line in _in_body(syntax, aliases, ""):
            found.append((path, scope, line))
    return found


def _imported_as(syntax: ast.Module) -> set[str]:
    """Names under which a sleep was imported by itself."""
    return {
        alias.asname or alias.name
        for node in ast.walk(syntax)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in _SLEEPS
    }


def _in_body(node: ast.AST, aliases: set[str], scope: str, is_limited: bool = False) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        inside, limited = scope, is_limited or _is_limit(child)
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_handler(child):
                continue
            inside, limited = scope or child.name, False
        elif isinstance(child, ast.ClassDef):
            inside = scope or child.name
        if isinstance(child, ast.Call):
            if _is_sleep(child, aliases) or (is_limited and _is_endless(child)):
                yield scope, child.lineno
        elif isinstance(child, ast.Constant) and isinstance(child.value, str) and _IN_TEXT.search(child.value):
            yield scope, child.lineno
        yield from _in_body(child, aliases, inside, limited)


def _is_handler(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = [one.func if isinstance(one, ast.Call) else one for one in function.decorator_list]
    parameters = [*function.args.posonlyargs, *function.args.args]
    return any(_last_name(one) == "job" for one in decorators) or any(one.arg == "ctx" for one in parameters)


def _is_sleep(call: ast.Call, aliases: set[str]) -> bool:
    name = _last_name(call.func)
    if name in _SLEEPS or (isinstance(call.func, ast.Name) and name in aliases):
        return not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
    if name == "select":
        return len(call.args) > 3 and all(isinstance(one, ast.List) and not one.elts for one in call.args[:3])
    return _is_endless(call) and bool(call.args or call.keywords)


def _is_endless(call: ast.Call) -> bool:
    """Nobody can bring about what it waits for."""
    if _last_name(call.func) == "sleep_forever":
        return True
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "wait"):
        return False
    return isinstance(call.func.value, ast.Call) and _last_name(call.func.value.func) in _FRESH


def _is_limit(node: ast.AST) -> bool:
    """A block or a call that ends what is awaited in it after some time."""
    if isinstance(node, ast.With | ast.AsyncWith):
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        return any(_last_name(call.func) in _LIMITS for call in calls)
    return isinstance(node, ast.Call) and _last_name(node.func) == "wait_for"


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
