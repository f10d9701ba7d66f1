"""Handlers that run in a process of their own: what becomes of it, and of those beside it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from callboard import JobFailed
from tests.faults.stage import Stage
from tests.support.eventually import eventually


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs; one that nobody has waited for yet has ended all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc to look for processes in")
async def test_a_killed_node_leaves_no_handler_process_behind(stage: Stage) -> None:
    node = stage.node("default=3")
    for _ in range(3):
        await stage.enqueue("work_in_process", 3600)
    children = {record.pid for record in await stage.begun(3)}
    assert len(children) == 3
    assert node.pid not in children

    node.signal(signal.SIGKILL, alone=True)

    await eventually(lambda: not any(is_alive(pid) for pid in children), within_s=5)


async def test_a_handler_process_that_dies_fails_its_attempt_and_no_other(stage: Stage) -> None:
    node = stage.node("default=4")
    others = [await stage.enqueue("work_in_process", 2.0) for _ in range(3)]
    pids = {record.pid for record in await stage.begun(3)}

    dying = await stage.enqueue("dies_in_process")
    with pytest.raises(JobFailed, match="attempts") as caught:
        await dying.result(timeout=20)

    assert {await handle.result(timeout=20) for handle in others} == pids
    assert caught.value.job.error is not None
    assert "HandlerProcessDied" in caught.value.job.error.error.kind
    assert node.is_ready
    assert len(stage.records("start")) == 3


async def test_a_signal_to_the_whole_group_leaves_handler_processes_their_grace(stage: Stage) -> None:
    """As from a terminal's Ctrl-C, or a service manager that signals every process of a service."""
    node = stage.node("default=2", grace_s=20)
    handles = [await stage.enqueue("work_in_process", 1.5) for _ in range(2)]
    pids = {record.pid for record in await stage.begun(2)}

    node.signal(signal.SIGTERM)

    assert await asyncio.to_thread(node.wait, 20) == 0
    assert {await handle.result(timeout=1) for handle in handles} == pids
    assert len(stage.records("start")) == 2
