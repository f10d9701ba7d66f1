"""What holds for every test: the loop it runs on, nothing left behind, reproducible hypothesis runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.leaks import no_leaks, tasks_gone
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server

hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

Backend = tuple[str, dict[str, bool]]
ASYNCIO: Backend = ("asyncio", {"use_uvloop": False})
UVLOOP: Backend = ("asyncio", {"use_uvloop": True})
BOTH_LOOPS = [pytest.param(ASYNCIO, id="asyncio")]
if sys.platform != "win32":
    BOTH_LOOPS.append(pytest.param(UVLOOP, id="uvloop"))


def pytest_configure() -> None:
    _refuse_another_callboard()
    if sys.platform != "win32":
        import uvloop

        # The first loop opens pipes for signals that the process keeps; they are no test's leak.
        uvloop.new_event_loop().close()


def _refuse_another_callboard() -> None:
    """End the run unless callboard is the one meant (`.ci/wheel` names the environment of the built wheel)."""
    import callboard

    expected = Path(os.environ.get("CALLBOARD_TEST_INSTALLED", Path(__file__).parent.parent)).resolve()
    found = Path(str(callboard.__file__)).resolve()
    if not found.is_relative_to(expected):
        pytest.exit(f"callboard comes from {found}, expected below {expected}: run `make setup`", returncode=4)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the servers that this run needs, before any test: what a test starts it must end."""
    if any("postgres" in item.nodeid for item in session.items) and not session.config.option.collectonly:
        postgres.start()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_loops"):
        metafunc.parametrize("anyio_backend", BOTH_LOOPS, scope="module")


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    """asyncio's own loop; a test marked `both_loops` runs on uvloop too."""
    return ASYNCIO


@pytest.fixture(scope="session", autouse=True)
def redis_of_this_run(request: pytest.FixtureRequest) -> None:
    """Started before the first test, to which it would look like something left behind, if a test speaks of it."""
    if any("redis" in item.nodeid for item in request.session.items) and redis_server.missing() is None:
        redis_server.shared()


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Set up before every other fixture of a test and torn down after them, when what they held is closed."""
    with no_leaks():
        yield


@pytest.fixture(autouse=True)
def leaves_no_task_behind(request: pytest.FixtureRequest, leaves_nothing_behind: None) -> None:
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("no_task_left")


@pytest.fixture
async def no_task_left(leaves_nothing_behind: None, anyio_backend: Backend) -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await tasks_gone(before)
