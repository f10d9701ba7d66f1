"""Nodes: rows that say who works here, and nothing that depends on them."""

from __future__ import annotations

from dataclasses import replace

from callboard.kernel.clock import ManualClock
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from tests.support.node_hands import NodeHands
from tests.support.stores import Place


def row(letter: bytes, *, started_at: int = 0, host: str = "host-1", report: bytes = b"") -> Node:
    return Node(letter * 16, host, 4711, "1.2.3", started_at, report)


async def test_register_keeps_every_field_and_sees_the_node_now(store: Store, clock: ManualClock) -> None:
    node = row(b"A", started_at=5, report=b"\x00\xffreport")

    await store.nodes.register(replace(node, seen_at=1))

    assert list(await store.nodes.list()) == [replace(node, seen_at=clock.wall_ms())]


async def test_register_again_writes_the_row_anew(store: Store, place: Place, clock: ManualClock) -> None:
    await store.nodes.register(row(b"A", report=b"old"))
    await place.pass_time(1)

    await store.nodes.register(row(b"A", report=b"new"))

    assert list(await store.nodes.list()) == [replace(row(b"A", report=b"new"), seen_at=clock.wall_ms())]


async def test_list_gives_the_oldest_start_first(store: Store) -> None:
    for letter, started_at in ((b"A", 3), (b"B", 1), (b"C", 2)):
        await store.nodes.register(row(letter, started_at=started_at))

    assert [node.started_at for node in await store.nodes.list()] == [1, 2, 3]


async def test_the_boot_id_is_the_identity_not_the_host(store: Store) -> None:
    await store.nodes.register(row(b"A", started_at=1, host="pod-0"))
    await store.nodes.register(row(b"B", started_at=2, host="pod-0"))

    assert [node.boot_id for node in await store.nodes.list()] == [b"A" * 16, b"B" * 16]


async def test_forget_removes_rows_and_passes_over_unknown_ones(store: Store) -> None:
    for letter in (b"A", b"B"):
        await store.nodes.register(row(letter))

    await store.nodes.forget([b"A" * 16, b"?" * 16])
    await store.nodes.forget([])

    assert [node.boot_id for node in await store.nodes.list()] == [b"B" * 16]


async def test_another_handle_sees_the_rows(store: Store, second_store: Store) -> None:
    await store.nodes.register(row(b"A"))

    assert [node.boot_id for node in await second_store.nodes.list()] == [b"A" * 16]


async def test_work_needs_no_row(store: Store, node: NodeHands) -> None:
    await store.nodes.register(row(b"A"))
    claimed = await node.start()

    await store.nodes.forget([node.boot_id])

    assert (await node.beat(claimed)).lost == []
    assert await node.finish(claimed)
    assert list(await store.nodes.list()) == []
