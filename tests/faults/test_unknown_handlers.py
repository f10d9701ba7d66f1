"""Nodes that do not know a job: of another version, or of another team."""

from __future__ import annotations

from callboard import JobState
from tests.faults.stage import Stage
from tests.support.eventually import eventually


async def test_a_job_unknown_to_the_node_goes_back_with_delay_and_spends_no_attempt(stage: Stage) -> None:
    node = stage.node()
    handle = await stage.enqueue("of_another_team", 1)

    async def handed_back() -> bool:
        return (await stage.row(handle)).claim_token == 1 and (await stage.row(handle)).state is JobState.SCHEDULED

    await eventually(handed_back)

    row = await stage.row(handle)
    assert (row.attempt, row.crashes, row.reason) == (0, 0, None)
    assert row.run_at > row.inserted_at + 1000
    assert await stage.runtime.failures(row.id) == []
    assert "no handler of that name" in node.text()


async def test_old_and_new_nodes_side_by_side_finish_what_each_knows(stage: Stage) -> None:
    """In the middle of a deployment: the old node may claim a new job first, and must not spend it."""
    old = stage.node("default=2", NODE_WITHOUT="ends_well")
    new_jobs = [await stage.enqueue("ends_well") for _ in range(2)]
    known = [await stage.enqueue("work", 0.01) for _ in range(4)]
    assert [await handle.result(timeout=20) for handle in known] == [1] * 4
    assert {record.pid for record in stage.records("start")} == {old.pid}

    new = stage.node("default=2")

    tokens = [await handle.result(timeout=40) for handle in new_jobs]
    assert all(token >= 2 for token in tokens)  # the old node had each of them in hand
    assert {stage.records("start", job=handle)[0].pid for handle in new_jobs} == {new.pid}
    assert [(await stage.row(handle)).attempt for handle in new_jobs] == [1] * 2
