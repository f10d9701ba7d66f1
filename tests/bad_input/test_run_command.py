"""Bad input: the module of `callboard run`, as a process of its own: one line on stderr, code 2, nothing made."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .conftest import contents

MODULES = {
    "raising": "def connect():\n    raise ConnectionError('no\\nserver')\nconnect()",
    "leaving": "import sys\nsys.exit('bye')",
    "interrupted": "raise GeneratorExit",
    "torn": "def broken(:",
    "missing": "import no_such_library",
    "empty": "",
    "doubled": """
        from callboard import Runtime
        runtime = Runtime("sqlite:///jobs.db")
        def send() -> None: ...
        runtime.job(send)
        runtime.job(send)
        """,
    "wrong_setting": "from callboard import Runtime, Settings\nruntime = Runtime(settings=Settings(lease='soon'))",
    "wrong_queue": """
        from callboard import Runtime
        runtime = Runtime("sqlite:///jobs.db")
        @runtime.job(queue="_own")
        def send() -> None: ...
        """,
    "wrong_store": "from callboard import Runtime\nruntime = Runtime('mysql://host/db')",
    "a_number": "runtime = 3",
}

SAID = {
    "nowhere:runtime": "no module named 'nowhere' in ",
    "empty": "expected MODULE:RUNTIME, such as",
    "empty:": "expected MODULE:RUNTIME, such as",
    "empty.py:runtime": "did you mean empty:runtime?",
    "empty:runtime": "empty has no attribute 'runtime'; it holds no Runtime",
    "a_number:runtime": "a_number:runtime is of type int, expected a callboard.Runtime",
    "raising:runtime": "module raising raised at import: ConnectionError: no server (",
    "leaving:runtime": "module leaving raised at import: SystemExit: bye (",
    "interrupted:runtime": "module interrupted raised at import: GeneratorExit (",
    "torn:runtime": "module torn raised at import: SyntaxError: ",
    "missing:runtime": "module missing raised at import: ModuleNotFoundError: No module named 'no_such_library' (",
    "doubled:runtime": "two jobs are named 'send': doubled:send and doubled:send; give one of them another name=",
    "wrong_setting:runtime": "a setting cannot be used: lease: expected a duration",
    "wrong_queue:runtime": "queue name '_own': names that begin with",
    "wrong_store:runtime": "store URL 'mysql://host/db' is of no known kind",
}


@pytest.mark.parametrize("target", SAID)
def test_wrong_module_path_or_a_module_that_raises_at_import(folder: Path, target: str) -> None:
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    before = contents(folder)

    ran = subprocess.run(
        [sys.executable, "-m", "callboard", "run", target, "--ready-file", "ready"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("callboard: ")
    assert SAID[target] in ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert contents(folder) == before
