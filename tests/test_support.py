"""The tests' own tools do catch what they are for."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.support import leaks
from tests.support.eventually import eventually, eventually_sync


async def test_eventually_waits_for_the_first_true_value() -> None:
    values = iter([0, 0, 7])

    assert await eventually(lambda: next(values)) == 7


async def test_eventually_awaits_an_async_probe_and_takes_its_assertion_for_not_yet() -> None:
    calls = 0

    async def probe() -> str:
        nonlocal calls
        calls += 1
        assert calls == 3
        return "done"

    assert await eventually(probe) == "done"


async def test_eventually_gives_up_with_the_last_assertion_as_cause() -> None:
    def probe() -> bool:
        raise AssertionError("still closed")

    with pytest.raises(AssertionError, match=r"not true within 0\.01 s.*still closed") as caught:
        await eventually(probe, within_s=0.01)

    assert str(caught.value.__cause__) == "still closed"


def test_eventually_sync_gives_up_with_the_last_value() -> None:
    with pytest.raises(AssertionError, match="last: 0"):
        eventually_sync(lambda: 0, within_s=0.01)


@pytest.mark.both_loops
async def test_both_loops_runs_on_the_loop_it_names(anyio_backend: tuple[str, dict[str, bool]]) -> None:
    module = type(asyncio.get_running_loop()).__module__

    assert module.startswith("uvloop") == anyio_backend[1]["use_uvloop"]


def test_a_thread_left_running_is_reported() -> None:
    stop = threading.Event()
    before = leaks.holdings()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    thread.start()

    found = leaks.leaked(before)
    stop.set()
    thread.join()

    assert found == ["thread forgotten"]
    assert leaks.leaked(before) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open files in /proc")
def test_an_open_file_and_a_child_process_are_reported() -> None:
    before = leaks.holdings()
    mine, other = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=mine.fileno())

    found = leaks.leaked(before)
    mine.close()
    other.close()
    child.wait()

    assert [line.split()[0] for line in found] == ["child", "open", "open"]
    assert leaks.leaked(before) == []


async def test_a_task_left_running_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "GRACE_S", 0.01)
    before = asyncio.all_tasks()
    forgotten = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        await leaks.tasks_gone(before)

    forgotten.cancel()
    await asyncio.gather(forgotten, return_exceptions=True)
    await leaks.tasks_gone(before)
