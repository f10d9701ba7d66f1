"""open, close and examine: a handle's own life."""

from __future__ import annotations

from callboard.storage.ports.store import Store
from tests.support.node_hands import NodeHands
from tests.support.stores import Place


async def test_a_handle_that_was_never_opened_may_be_closed(place: Place) -> None:
    await place.handle().close()


async def test_close_is_idempotent(place: Place) -> None:
    store = place.handle()
    await store.open()

    await store.close()
    await store.close()


async def test_closing_one_handle_leaves_the_other_at_work(place: Place, node: NodeHands) -> None:
    second = place.handle()
    await second.open()
    await second.close()

    assert (await node.start()).attempt == 1


async def test_jobs_outlive_a_handle_while_another_is_open(place: Place, node: NodeHands) -> None:
    claimed = await node.start()
    second = place.handle()
    await second.open()

    await second.close()

    assert await node.finish(claimed)


async def test_opening_an_existing_store_again_keeps_its_jobs(place: Place, node: NodeHands) -> None:
    job_id = await node.enqueue()
    second = place.handle()

    await second.open(migrate=True)

    assert [job and job.id for job in await second.jobs.get([job_id])] == [job_id]
    await second.close()


async def test_examine_says_something_of_durability_and_nothing_is_broken(store: Store) -> None:
    findings = await store.examine()

    assert {finding.level for finding in findings} <= {"ok", "warn"}
    assert findings
    assert all(finding.subject and finding.text for finding in findings)
