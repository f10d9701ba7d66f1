"""What operators ask of node processes."""

from __future__ import annotations

import signal

import pytest

from callboard import JobState
from callboard.runtime.asking import NodeSilent
from callboard.storage.records import Node
from harness.processes import Proc
from tests.faults.stage import Stage
from tests.support.eventually import eventually


async def row_of(stage: Stage, proc: Proc) -> Node:
    """Its row, once it is there."""

    async def probe() -> Node | None:
        rows = await stage.runtime.node.store.nodes.list()
        return next((row for row in rows if row.pid == proc.pid), None)

    found = await eventually(probe)
    assert found is not None
    return found


async def test_a_node_process_that_is_asked_to_drain_ends_with_zero(stage: Stage) -> None:
    proc = stage.node("default=2", grace_s=0.5)
    handle = await stage.enqueue("work", 60.0)
    await stage.begun(1)
    nodes = await stage.runtime.node.asking()

    assert await nodes.ask(await row_of(stage, proc), "drain", timeout_s=10) == {"executing": 1}

    assert proc.wait(20) == 0
    assert not proc.ready_file.exists()
    job = await stage.row(handle)
    assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)
    assert await stage.runtime.node.store.nodes.list() == []


async def test_a_node_that_stands_still_does_what_it_was_asked_once_it_goes_on(stage: Stage) -> None:
    proc = stage.node()
    row = await row_of(stage, proc)
    nodes = await stage.runtime.node.asking()
    proc.signal(signal.SIGSTOP)

    with pytest.raises(NodeSilent):
        await nodes.ask(row, "drain", timeout_s=0.5)
    assert proc.exit_code is None
    proc.signal(signal.SIGCONT)

    assert proc.wait(20) == 0
