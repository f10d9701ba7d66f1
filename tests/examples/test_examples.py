"""The examples and the README's code run as they stand."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.wheel


def run(script: Path, *arguments: str | Path, cwd: Path, says: str = "") -> str:
    """What the script printed; it must end well and complain of nothing, or of what it `says` in one line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        cwd=cwd,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == (1 if says else 0), done.stderr
    assert done.stderr.startswith(says)
    return done.stdout


def readme_code() -> str:
    [code] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    return str(code)


def test_readme_code_runs(tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text(readme_code(), encoding="utf-8")

    assert run(script, cwd=tmp_path) == "Olá, Ana!\n"


def test_readme_code_is_the_quickstart_in_fifteen_lines() -> None:
    code = readme_code()

    assert code == (EXAMPLES / "quickstart.py").read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_quickstart_runs_and_its_job_stays_in_the_store(tmp_path: Path) -> None:
    assert run(EXAMPLES / "quickstart.py", cwd=tmp_path) == "Olá, Ana!\n"

    assert (tmp_path / "quickstart.db").is_file()


def test_codeindex_reports_on_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\nfrom json import loads\nclass A:\n    def f(self): ...\n")
    (tmp_path / "b.py").write_text("import os\nasync def g(): ...\n")
    (tmp_path / "broken.py").write_text("print 'two'\n")

    found = json.loads(run(EXAMPLES / "codeindex.py", tmp_path, cwd=tmp_path, says="job failed for good"))

    assert (found["files"], found["functions"], found["classes"]) == (3, 2, 1)
    assert found["most_imported"] == {"os": 2, "json": 1}
    [(path, why)] = found["unparsed"].items()
    assert Path(path).name == "broken.py"
    assert "Missing parentheses" in why


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a server imports it, with a store of its own."""
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLBOARD_STORE", f"sqlite:///{tmp_path / 'service.db'}")
    spec = importlib.util.spec_from_file_location("service_example", EXAMPLES / "service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "service_example", module)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def serving(service: ModuleType) -> AsyncIterator[httpx.AsyncClient]:
    """The service started, and a client that talks to it in this event loop; then the service stopped."""
    transport = httpx.ASGITransport(service.app)
    async with (
        service.app.router.lifespan_context(service.app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def test_service_enqueues_and_runs_jobs_in_its_own_loop(service: ModuleType) -> None:
    async with serving(service) as client:
        answer = await client.post("/welcome", json={"name": "Ana"})
        job_id = answer.json()["id"]
        result = await service.runtime.handle(job_id).result(timeout=20)
        shown = (await client.get(f"/jobs/{job_id}")).json()

    assert answer.status_code == 202
    assert result == "Welcome, Ana!"
    assert shown == {"state": "completed", "result": "Welcome, Ana!"}


async def test_what_the_service_did_not_get_to_is_done_when_it_starts_again(service: ModuleType) -> None:
    async with serving(service):
        handle = await service.welcome.options(delay="1s").enqueue("Bia")

    async with serving(service):
        assert await service.runtime.handle(handle.id).result(timeout=20) == "Welcome, Bia!"


async def test_service_answers_an_id_that_is_none_with_an_error_of_its_own(service: ModuleType) -> None:
    async with serving(service) as client:
        malformed = await client.get("/jobs/nonsense")
        unknown = await client.get(f"/jobs/{'0' * 32}")

    assert malformed.status_code == unknown.status_code == 404
