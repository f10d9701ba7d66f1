"""The lines in which records wait: their order, and that they keep nothing that left."""

from __future__ import annotations

import gc
import random

from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.clock import ManualClock
from callboard.storage.job import NewJob
from callboard.storage.memory.driver import MemoryStore
from callboard.storage.memory.record import AVAILABLE, Line, Record
from tests.support.node_hands import ALL, NodeHands


def record(number: int) -> Record:
    return Record(NewJob(number.to_bytes(16, "big"), "name", "default", b""), AVAILABLE, 0, 0)


def popped(line: Line) -> list[int]:
    numbers = []
    while (found := line.pop()) is not None:
        numbers.append(int.from_bytes(found.id, "big"))
    return numbers


Step = tuple[str, int]
STEPS = st.lists(st.tuples(st.sampled_from(["push", "push", "pop", "discard", "first"]), st.integers(0, 20)))


@given(STEPS)
def test_a_line_behaves_as_a_sorted_list(steps: list[Step]) -> None:
    line, expected, made = Line(), list[tuple[int, bytes, Record]](), 0
    for step, key in steps:
        if step == "push":
            made += 1
            one = record(made if key % 2 else 1000 - made)
            line.push(key, one)
            expected.append((key, one.id, one))
            expected.sort(key=lambda entry: entry[:2])
        elif step == "discard" and expected:
            line.discard(expected.pop(key % len(expected))[2])
        elif step == "pop":
            assert line.pop() is (expected.pop(0)[2] if expected else None)
        assert line.first_key() == (expected[0][0] if expected else None)
        assert len(line) == len(expected)


def test_what_comes_in_order_or_late_is_popped_in_order() -> None:
    line = Line()
    order = list(range(500))
    random.Random(1).shuffle(order)

    for number in order:
        line.push(number // 10, record(number))

    assert popped(line) == list(range(500))


def test_a_discarded_record_is_forgotten_before_its_turn() -> None:
    line = Line()
    records = [record(number) for number in range(1000)]
    for one in records:
        line.push(1, one)
    line.push(0, late := record(5000))

    for one in [*records[100:], late]:
        line.discard(one)

    assert len(line) == 100
    assert line.held() <= 200
    for one in records[:100]:
        line.discard(one)
    assert line.held() == 0


async def test_deleted_and_pruned_jobs_leave_nothing_in_the_store() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    node = NodeHands(store, clock, boot_id=b"A" * 16)
    waiting, cancelled = await node.enqueue_many(200), await node.enqueue_many(200)
    later = [await node.enqueue(run_in_s=60) for _ in range(100)]
    for claimed in await node.claim(50):
        await node.finish(claimed)
    clock.advance(1)

    await store.jobs.cancel(cancelled, reason="x")
    await store.jobs.delete([*waiting[50:], *later])
    await store.jobs.prune(finished_before=clock.wall_ms() + 1, limit=10_000)

    assert await store.jobs.count(ALL) == 0
    gc.collect()
    assert [one for one in gc.get_objects() if isinstance(one, Record)] == []
