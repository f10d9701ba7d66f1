"""The house's rules hold for this checkout, and each rule fails on a checkout that breaks it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.house import imports, packaging, pages, waiting, words

ROOT = Path(__file__).parent.parent
Rule = Callable[[Path], list[str]]
Lay = Callable[[dict[str, str]], Path]

RULES: list[Rule] = [
    imports.no_import_upward,
    imports.no_absolute_import_of_ourselves,
    imports.no_cycle,
    imports.stores_and_actors_apart,
    imports.clients_stay_in_their_store,
    imports.kernel_stays_small,
    imports.libraries_are_declared,
    packaging.packages_equal_the_tree,
    packaging.data_files_are_packaged,
    packaging.typing_link_is_tracked,
    packaging.no_lock_file,
    packaging.nothing_names_this_machine,
    packaging.no_folder_of_tests_shadows,
    words.modules_stay_small,
    words.names_explain,
    words.no_unsafe_code,
    words.time_and_chance_are_handed_in,
    words.exceptions_are_needed,
    words.public_names_are_few_and_sorted,
    waiting.no_test_sleeps_to_wait,
    waiting.who_may_sleep_does,
    pages.architecture_fits_the_tree,
]

PYPROJECT = """
[project]
dependencies = ["anyio>=4", "aiosqlite"]
[tool.setuptools]
packages = ["callboard", "callboard.actors", "callboard.kernel", "callboard.runtime", "callboard.storage",
    "callboard.storage.memory", "callboard.storage.sqlite"]
[tool.setuptools.package-data]
callboard = ["py.typed"]
"callboard.storage" = ["**/*.sql"]
"""

# A small checkout that keeps every rule, though near the edge of each.
GOOD = {
    "pyproject.toml": PYPROJECT,
    "py.typed": "",
    "__init__.py": "from .runtime.tree import Tree\nfrom .kernel.clock import now\n__all__ = ['Tree', 'now']\n",
    "kernel/__init__.py": "",
    "kernel/clock.py": "import time\ndef now(): return time.monotonic(), time.time_ns()\n",
    "kernel/actor.py": "import anyio\nfrom . import clock\n",
    "storage/__init__.py": "",
    "storage/actor.py": "from ..kernel.actor import anyio\nfrom .job import Job\n",
    "storage/job.py": "from random import Random\nclass Job: chance: Random\n",
    "storage/memory/__init__.py": "",
    "storage/memory/jobs.py": "from ..job import Job\n",
    "storage/sqlite/__init__.py": "",
    "storage/sqlite/driver.py": "import sqlite3, aiosqlite\nfrom ..job import Job\n",
    "storage/sqlite/sql/jobs/claim.sql": "SELECT 1",
    "actors/__init__.py": "",
    "actors/worker.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .execution import run\n",
    "actors/execution.py": "from .worker import TYPE_CHECKING\nfrom ..storage import actor\ndef run(): ...\n",
    "runtime/__init__.py": "",
    "runtime/tree.py": "from ..storage.memory.jobs import Job\nclass Tree: ...\n",
    "runtime/environment.py": "import os\nentropy = os.urandom\n",
    "tests/typing/api.py": "",
    "tests/kernel/test_actor.py": "import asyncio\nasync def test_a():\n    await asyncio.sleep(0)\n"
    "    @runtime.job(name='slow')\n    async def slow(): await asyncio.sleep(5)\n"
    "    async def work(ctx): await ctx.sleep(5)\n    await asyncio.Event().wait()\n    assert ready.wait(10)\n",
    "tests/support/eventually.py": "import anyio\nasync def eventually(): await anyio.sleep(0.01)\n",
    "docs/architecture.md": "### `kernel/`\n`clock.py`, `actor.py`\n### storage/\n`{job,actor}.py` `<store>/jobs.py`\n"
    "`storage/sqlite/{driver.py,sql/jobs/claim.sql}`\n### actors/\n`worker.py` `execution.py`\n"
    "## `runtime/`\n`runtime/tree.py`, `environment.py`",
}

# The rule, the file that breaks it with its text, and what the one line found says.
BAD: list[tuple[Rule, str, str, str]] = [
    (
        imports.no_import_upward,
        "kernel/a.py",
        "from ..storage.job import Job",
        "kernel/a.py:1: kernel imports storage/job.py",
    ),
    (
        imports.no_import_upward,
        "actors/a.py",
        "def f():\n    from .. import runtime",
        "a.py:2: actors imports runtime/__init__",
    ),
    (
        imports.no_import_upward,
        "storage/memory/a.py",
        "from ...actors import worker",
        "storage imports actors/worker.py",
    ),
    (
        imports.no_import_upward,
        "runtime/a.py",
        "from .. import Tree",
        "runtime imports __init__.py, which stands above",
    ),
    (imports.no_import_upward, "runtime/a.py", "from ...runtime import x", "from outside the package"),
    (
        imports.no_absolute_import_of_ourselves,
        "actors/a.py",
        "import callboard.kernel",
        "a.py:1 imports callboard.kernel",
    ),
    (
        imports.no_absolute_import_of_ourselves,
        "actors/a.py",
        "from kernel.clock import now",
        "imports kernel.clock.now",
    ),
    (
        imports.no_cycle,
        "kernel/clock.py",
        "def f():\n    from .actor import anyio",
        "kernel/clock.py -> kernel/actor.py -> kernel/clock.py",
    ),
    (imports.stores_and_actors_apart, "storage/memory/a.py", "from ..actor import anyio", "a store imports an actor"),
    (
        imports.stores_and_actors_apart,
        "storage/sqlite/a.py",
        "from ...actors.worker import x",
        "a store imports an actor",
    ),
    (imports.stores_and_actors_apart, "actors/a.py", "from ..storage.memory import jobs", "an actor imports a store"),
    (imports.stores_and_actors_apart, "storage/actor.py", "from .sqlite.driver import x", "an actor imports a store"),
    (
        imports.stores_and_actors_apart,
        "storage/sqlite/a.py",
        "from ..memory.jobs import Job",
        "imports the memory store",
    ),
    (imports.clients_stay_in_their_store, "storage/a.py", "import sqlite3", "a.py:1 imports sqlite3, which belongs"),
    (
        imports.clients_stay_in_their_store,
        "storage/sqlite/a.py",
        "from redis.asyncio import Redis",
        "storage/redis and",
    ),
    (imports.kernel_stays_small, "kernel/a.py", "import structlog", "kernel/a.py:1: the kernel imports structlog"),
    (
        imports.libraries_are_declared,
        "storage/a.py",
        "import requests.adapters",
        "requests.adapters, which pyproject.toml",
    ),
    (packaging.packages_equal_the_tree, "storage/redis/__init__.py", "", "callboard.storage.redis is missing"),
    (packaging.packages_equal_the_tree, "web/page.py", "", "web/page.py stands in a folder without"),
    (
        packaging.packages_equal_the_tree,
        "pyproject.toml",
        PYPROJECT.replace("memory", 'memory", "callboard.storage.redis'),
        "callboard.storage.redis in",
    ),
    (
        packaging.packages_equal_the_tree,
        "pyproject.toml",
        PYPROJECT.replace('"callboard", ', ""),
        "callboard is missing",
    ),
    (
        packaging.packages_equal_the_tree,
        "pyproject.toml",
        PYPROJECT.replace('"callboard.actors", "callboard.kernel"', '"callboard.kernel", "callboard.actors"'),
        "not sorted",
    ),
    (packaging.data_files_are_packaged, "storage/sqlite/lua/claim.lua", "", "storage/sqlite/lua/claim.lua matches no"),
    (packaging.data_files_are_packaged, "runtime/report.html", "", "runtime/report.html matches no pattern"),
    (
        packaging.data_files_are_packaged,
        "pyproject.toml",
        PYPROJECT.replace("py.typed", "x"),
        "py.typed matches no pattern",
    ),
    (packaging.typing_link_is_tracked, ".typing/callboard", "a copy", "not tracked as a link"),
    (packaging.no_lock_file, "examples/uv.lock", "", "examples/uv.lock is tracked"),
    (packaging.nothing_names_this_machine, "docs/a.md", "see\n`/ho" + "me/ann/notes`", "docs/a.md:2 names a path"),
    (
        packaging.nothing_names_this_machine,
        "setup.cfg",
        "index = https://py" + "pi.org/simple",
        "setup.cfg:1 names the host",
    ),
    (packaging.no_folder_of_tests_shadows, "tests/typing/test_api.py", "", "tests/typing/ holds tests"),
    (words.modules_stay_small, "kernel/a.py", "x = 1\n" * 351, "kernel/a.py has 351 lines"),
    (words.names_explain, "kernel/utils.py", "", "kernel/utils.py: name it after"),
    (words.names_explain, "tests/helpers/__init__.py", "", "tests/helpers: name it after"),
    (words.no_unsafe_code, "actors/a.py", "import pickle", "actors/a.py:1 uses pickle"),
    (words.no_unsafe_code, "actors/a.py", "from shelve import open", "uses shelve.open"),
    (words.no_unsafe_code, "actors/a.py", "def f(x): return eval(x)", "actors/a.py:1 uses eval"),
    (words.time_and_chance_are_handed_in, "actors/a.py", "import time\ntime.monotonic()", "a.py:2 uses time.monotonic"),
    (words.time_and_chance_are_handed_in, "actors/a.py", "import time as t\nt.sleep(1)", "a.py:2 uses time.sleep"),
    (words.time_and_chance_are_handed_in, "actors/a.py", "from time import time", "a.py:1 uses time.time"),
    (words.time_and_chance_are_handed_in, "actors/a.py", "import random\nrandom.random()", "uses random.random"),
    (words.time_and_chance_are_handed_in, "actors/a.py", "from uuid import uuid4", "uses uuid.uuid4"),
    (words.time_and_chance_are_handed_in, "kernel/a.py", "import os\nos.urandom(8)", "uses os.urandom"),
    (
        words.time_and_chance_are_handed_in,
        "runtime/a.py",
        "from datetime import datetime\nnow = datetime.now",
        "a.py:2 uses datetime.datetime.now",
    ),
    (
        words.exceptions_are_needed,
        "kernel/clock.py",
        "from time import time_ns as now",
        "no longer uses time.monotonic",
    ),
    (words.public_names_are_few_and_sorted, "__init__.py", "__all__ = ['b', 'a']", "not sorted"),
    (words.public_names_are_few_and_sorted, "__init__.py", f"__all__ = {[f'n{i}' for i in range(10, 51)]}", "41 names"),
    (words.public_names_are_few_and_sorted, "__init__.py", "from .kernel.clock import now", "has no __all__"),
    (words.public_names_are_few_and_sorted, "__init__.py", "from .a import b\n__all__ = []", "leaves it out"),
    *(
        (waiting.no_test_sleeps_to_wait, "tests/kernel/a.py", text, "tests/kernel/a.py:2 sleeps in test_a")
        for text in (
            "from asyncio import sleep as pause\nasync def test_a(): await pause(0.1)",
            "import time\ndef test_a(): time.sleep(1)",
            "import anyio\ndef test_a(): anyio.sleep_until(anyio.current_time() + 1)",
            "import threading\ndef test_a(): threading.Event().wait(0.5)",
            "import asyncio\nasync def test_a(): await asyncio.wait_for(asyncio.Event().wait(), 0.5)",
            "import anyio\nasync def test_a(): await clock.sleep(5)",
            "import select\ndef test_a(): select.select([], [], [], 0.5)",
            "import subprocess\ndef test_a(): subprocess.run(['python', '-c', 'import time; time.sleep(3)'])",
        )
    ),
    (
        waiting.no_test_sleeps_to_wait,
        "tests/kernel/a.py",
        "import anyio\nwith anyio.move_on_after(1):\n    anyio.sleep_forever()",
        "tests/kernel/a.py:3 sleeps in the module",
    ),
    (waiting.who_may_sleep_does, "tests/support/eventually.py", "", "eventually.py no longer sleeps"),
    (pages.architecture_fits_the_tree, "kernel/a.py", "", "docs/architecture.md does not name kernel/a.py"),
    (
        pages.architecture_fits_the_tree,
        "docs/architecture.md",
        GOOD["docs/architecture.md"] + " `runtime/x.py`",
        "runtime/x.py",
    ),
]


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lay a checkout: the good one, with some files put over it."""

    def laid(over: dict[str, str]) -> Path:
        for path, text in {**GOOD, **over}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        link = tmp_path / ".typing" / "callboard"
        if not link.exists():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to("..")
        for command in (["git", "init", "-q"], ["git", "add", "-A"]):
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return tmp_path

    return laid


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_this_checkout_keeps_the_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_checkout_passes(rule: Rule, lay: Lay) -> None:
    assert rule(lay({})) == []


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    BAD,
    ids=[f"{row[0].__name__}-{row[1]}-{number}" for number, row in enumerate(BAD)],
)
def test_a_bad_checkout_is_caught(rule: Rule, path: str, text: str, line: str, lay: Lay) -> None:
    problems = rule(lay({path: text}))

    assert len(problems) == 1
    assert line in problems[0]


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule.__name__ for rule, *_ in BAD} == {rule.__name__ for rule in RULES}
