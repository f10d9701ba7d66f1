"""select, get and count: what anybody sees of jobs."""

from __future__ import annotations

import pytest

from callboard.storage.job import TERMINAL, JobState
from callboard.storage.ports.store import Store
from callboard.storage.records import JobFilter
from tests.support.node_hands import ALL, NodeHands, in_state
from tests.support.stores import Place


async def ids_of(store: Store, wanted: JobFilter, *, limit: int = 100, before: bytes | None = None) -> list[bytes]:
    return [job.id for job in await store.jobs.select(wanted, limit=limit, before=before)]


async def test_get_answers_in_the_order_asked(store: Store, node: NodeHands) -> None:
    first, second = await node.enqueue_many(2)

    jobs = await store.jobs.get([second, b"?" * 16, first, second])

    assert [job and job.id for job in jobs] == [second, None, first, second]
    assert await store.jobs.get([]) == []


async def test_select_gives_the_greatest_id_first(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(5)

    assert await ids_of(store, ALL) == ids[::-1]


async def test_select_orders_by_id_whatever_the_order_of_insert(store: Store, node: NodeHands) -> None:
    jobs = [node.new_job() for _ in range(6)]
    for index in (4, 1, 5, 0, 3, 2):
        await store.jobs.insert([jobs[index]])

    assert await ids_of(store, ALL, limit=4) == [job.id for job in jobs[:1:-1]]
    assert await ids_of(store, ALL, limit=4, before=jobs[2].id) == [jobs[1].id, jobs[0].id]


async def test_select_pages_through_everything_once(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(25)

    pages: list[list[bytes]] = []
    while page := await ids_of(store, ALL, limit=10, before=pages[-1][-1] if pages else None):
        pages.append(page)

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [job_id for page in pages for job_id in page] == ids[::-1]


async def test_select_continues_after_an_id_that_is_gone(store: Store, node: NodeHands) -> None:
    ids = await node.enqueue_many(4)
    await node.delete(ids[2])

    assert await ids_of(store, ALL, before=ids[2]) == [ids[1], ids[0]]


async def test_select_with_limit_zero_gives_nothing(store: Store, node: NodeHands) -> None:
    await node.enqueue()

    assert await ids_of(store, ALL, limit=0) == []


@pytest.mark.parametrize("state", list(JobState))
async def test_select_by_state(store: Store, node: NodeHands, state: JobState) -> None:
    ids = {each: (await in_state(node, each, queue=each.value)).id for each in JobState}

    assert await ids_of(store, JobFilter(frozenset({state}))) == [ids[state]]
    assert await store.jobs.count(JobFilter(frozenset({state}))) == 1


async def test_select_by_several_states(store: Store, node: NodeHands) -> None:
    ids = {each: (await in_state(node, each, queue=each.value)).id for each in JobState}

    chosen = await ids_of(store, JobFilter(TERMINAL))

    assert chosen == sorted((ids[each] for each in TERMINAL), reverse=True)
    assert await store.jobs.count(JobFilter(TERMINAL)) == len(TERMINAL)


async def test_select_by_queue_and_name_together(store: Store, node: NodeHands) -> None:
    ids = {
        (queue, name): await node.enqueue(queue=queue, name=name) for queue in ("a", "b") for name in ("x.run", "y.run")
    }

    assert await ids_of(store, JobFilter(queue="a", name="y.run")) == [ids["a", "y.run"]]
    assert await ids_of(store, JobFilter(name="x.run")) == [ids["b", "x.run"], ids["a", "x.run"]]
    assert await ids_of(store, JobFilter(queue="b")) == [ids["b", "y.run"], ids["b", "x.run"]]
    assert await ids_of(store, JobFilter(queue="c")) == []


async def test_count_agrees_with_select_for_every_filter(store: Store, node: NodeHands) -> None:
    for queue in ("a", "b"):
        for name in ("x.run", "y.run"):
            await node.enqueue(queue=queue, name=name)
            await node.enqueue(queue=queue, name=name, run_in_s=9)
    await node.claim(1, queue="a")

    for states in (frozenset[JobState](), frozenset({JobState.AVAILABLE}), frozenset({JobState.EXECUTING})):
        for wanted_queue in (None, "a", "none"):
            for wanted_name in (None, "x.run", "none"):
                wanted = JobFilter(states, wanted_queue, wanted_name)
                assert await store.jobs.count(wanted) == len(await ids_of(store, wanted)), wanted


async def test_select_is_not_confused_by_wild_cards(store: Store, node: NodeHands) -> None:
    await node.enqueue(name="mail.send")

    assert await ids_of(store, JobFilter(name="mail%")) == []
    assert await ids_of(store, JobFilter(name="mail_send")) == []
    assert await ids_of(store, JobFilter(queue="*")) == []


async def test_a_revived_job_stays_where_its_id_puts_it(store: Store, node: NodeHands, place: Place) -> None:
    ids = await node.enqueue_many(3)
    await node.cancel(ids[1])
    await place.pass_time(1)

    await node.revive(ids[1])

    assert await ids_of(store, ALL) == ids[::-1]
