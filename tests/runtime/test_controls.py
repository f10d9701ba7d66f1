"""What operators ask of a node, on every kind of store: it is done once, and answered."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from callboard import Ctx, JobCancelled, JobState, Runtime, Settings
from callboard.kernel.clock import SystemClock
from callboard.kernel.codec import decode, encode
from callboard.runtime.asking import Asking, NodeRefused, NodeSilent, UnknownNode, asking
from callboard.storage.control import Control
from callboard.storage.ids import parse_id
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from tests.support.eventually import eventually
from tests.support.stores import Place

from .conftest import runtime_at

pytestmark = [pytest.mark.anyio]
SETTINGS = Settings(lease="30s", grace=0.2)  # polling alone would take ten seconds


@asynccontextmanager
async def operator(place: Place) -> AsyncIterator[tuple[Asking, Store]]:
    """An operator's command: a store alone."""
    store = place.handle()
    await store.open(migrate=True)
    try:
        async with asking(store) as nodes:
            yield nodes, store
    finally:
        await store.close()


async def only(store: Store) -> Node:
    [row] = await store.nodes.list()
    return row


async def test_ping_tells_who_the_node_is(place: Place) -> None:
    runtime = runtime_at(place, SETTINGS)
    async with operator(place) as (nodes, store), runtime, runtime.work({"mail": 2}) as node:
        row = await only(store)
        answer = await nodes.ask(row, "ping", timeout_s=5)

        assert answer["id"] == row.boot_id.hex() == node.parts.boot_id.hex()
        assert (answer["host"], answer["pid"]) == (platform.node(), os.getpid())


async def test_statistics_are_those_of_now(place: Place) -> None:
    runtime = runtime_at(place, SETTINGS)

    @runtime.job(name="long", queue="mail")
    async def long(ctx: Ctx) -> None:
        await ctx.sleep(60)

    async with operator(place) as (nodes, store), runtime, runtime.work({"mail": 2, "post": 3}) as node:
        await long.enqueue()
        await eventually(lambda: len(node.parts.in_flight) == 1)
        await eventually(lambda: node.report_now()["roles"])
        answer = await nodes.ask(await only(store), "statistics", timeout_s=5)

        assert (answer["state"], answer["slots"], answer["executing"]) == ("ready", 5, 1)
        assert answer["queues"] == {"mail": 2, "post": 3}
        assert answer["roles"] == {"janitor": 1}


async def test_a_paused_node_claims_nothing_until_it_is_resumed(place: Place) -> None:
    runtime = runtime_at(place, SETTINGS)

    @runtime.job(name="quick", queue="mail")
    async def quick() -> int:
        return 1

    @runtime.job(name="other", queue="post")
    async def other() -> int:
        return 2

    async with operator(place) as (nodes, store), runtime, runtime.work({"mail": 2, "post": 2}) as node:
        row = await only(store)
        assert await nodes.ask(row, "pause", {"queues": ["mail"]}, timeout_s=5) == {"paused": ["mail"]}
        waiting = await quick.enqueue()
        assert await (await other.enqueue()).result(timeout=5) == 2
        assert (await waiting.job()).state is JobState.AVAILABLE
        assert node.report_now()["state"] == "ready"

        assert await nodes.ask(row, "pause", timeout_s=5) == {"paused": ["mail", "post"]}
        assert node.report_now()["state"] == "paused"
        assert await nodes.ask(row, "resume", timeout_s=5) == {"paused": []}
        assert await waiting.result(timeout=5) == 1


async def test_cancel_stops_the_attempts_that_are_here(place: Place) -> None:
    runtime = runtime_at(place, SETTINGS)

    @runtime.job(name="long")
    async def long(ctx: Ctx) -> None:
        await ctx.sleep(60)

    async with operator(place) as (nodes, store), runtime, runtime.work({"default": 2}) as node:
        first, second = await long.enqueue(), await long.enqueue()
        await eventually(lambda: len(node.parts.in_flight) == 2)
        here = parse_id(first.id)
        answer = await nodes.ask(await only(store), "cancel", {"jobs": [here, b"x" * 16]}, timeout_s=5)

        assert answer == {"stopped": [here]}
        with pytest.raises(JobCancelled):
            await first.result(timeout=5)
        assert (await second.job()).state is JobState.EXECUTING


async def test_drain_within_a_service_stops_claiming_and_hands_back(place: Place) -> None:
    runtime = runtime_at(place, SETTINGS)

    @runtime.job(name="long")
    async def long(ctx: Ctx) -> None:
        await ctx.sleep(60)

    async with operator(place) as (nodes, store), runtime, runtime.work({"default": 2}) as node:
        handle = await long.enqueue()
        await eventually(lambda: len(node.parts.in_flight) == 1)
        assert await nodes.ask(await only(store), "drain", timeout_s=5) == {"executing": 1}
        assert node.report_now()["state"] == "draining"

        async def handed_back() -> bool:
            job = await handle.job()
            return (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)

        await eventually(handed_back)
        await eventually(lambda: node.report_now()["roles"] == {})

        async def nobody_holds_a_role() -> bool:
            return [row.holder for row in await store.roles.list()] == [None]

        await eventually(nobody_holds_a_role)


async def test_the_same_request_is_done_once_though_it_is_taken_twice(place: Place) -> None:
    """As when an answer did not reach the store: the request waits on and is taken again."""
    runtime = runtime_at(place, SETTINGS)
    async with operator(place) as (nodes, store), runtime, runtime.work({"mail": 2}) as node:
        row = await only(store)
        pause = Control(b"p" * 16, row.boot_id, "pause", encode({"queues": ["mail"]}), 1)
        await store.controls.send([pause])
        await nodes.ask(row, "ping", timeout_s=5)  # it looked, so the first was done
        assert node.parts.paused == {"mail"}
        await nodes.ask(row, "resume", timeout_s=5)
        await store.controls.prune(asked_before=2)
        await store.controls.send([pause])
        await nodes.ask(row, "ping", timeout_s=5)

        [answer] = await store.controls.answers([pause.id])
        assert answer is not None
        assert decode(answer.body) == {"ok": {"paused": ["mail"]}}
        assert node.parts.paused == set()


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        ("dance", None, "no such verb 'dance': this node understands ping, statistics, pause, resume, drain, cancel"),
        ("pause", {"queues": ["male"]}, "no queue 'male' here: this node works on mail, post"),
        ("pause", {"queues": "mail"}, "expected queues, a list of names, found 'mail'"),
        ("cancel", {}, "cancel: expected jobs, a list of ids of 16 bytes, found None"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_one_line(
    verb: str, body: dict[str, object] | None, says: str
) -> None:
    runtime = Runtime("memory://", settings=SETTINGS)
    async with runtime, runtime.work({"mail": 1, "post": 1}) as node:
        nodes = await node.asking()
        with pytest.raises(NodeRefused) as refused:
            await nodes.ask(await only(node.store), verb, body, timeout_s=5)
        assert str(refused.value).endswith(says)
        assert "\n" not in str(refused.value)


async def test_a_request_that_cannot_be_read_is_answered_too() -> None:
    runtime = Runtime("memory://", settings=SETTINGS)
    async with runtime, runtime.work({"mail": 1}) as node:
        nodes = await node.asking()
        row = await only(node.store)
        await node.store.controls.send([Control(b"p" * 16, row.boot_id, "pause", b"\xc1", 1)])
        await nodes.ask(row, "ping", timeout_s=5)
        [answer] = await node.store.controls.answers([b"p" * 16])
        assert answer is not None
        assert "cannot be read" in str(decode(answer.body))


async def test_a_node_that_does_not_answer_is_said_to(place: Place) -> None:
    async with operator(place) as (nodes, store):
        row = Node(b"d" * 16, "gone", 7, "1", SystemClock().wall_ms())
        await store.nodes.register(row)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NodeSilent, match=r"gone:7\) did not answer 'ping' within 0.3 s"):
            await nodes.ask(row, "ping", timeout_s=0.3)
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_an_unknown_node_is_answered_with_those_that_are_known() -> None:
    runtime = Runtime("memory://", settings=SETTINGS)
    async with runtime, runtime.work({"mail": 1}) as node:
        nodes = await node.asking()
        row = await only(node.store)
        id = row.boot_id.hex()
        assert (await nodes.find(id[:8])).boot_id == (await nodes.find(f"{row.host}:{row.pid}")).boot_id == row.boot_id
        with pytest.raises(UnknownNode) as unknown:
            await nodes.find("nobody")
        assert str(unknown.value) == f"node 'nobody': there is none of that name; known: {id} ({row.host}:{row.pid})"


async def test_a_row_says_at_once_that_its_node_is_paused_or_drains(place: Place) -> None:
    """Probes and operators look at the row; the next beat would be ten seconds away."""
    runtime = runtime_at(place, SETTINGS)

    async def state(store: Store) -> object:
        said = decode((await only(store)).report)
        assert isinstance(said, dict)
        return said["state"]

    async def becomes(store: Store, expected: str) -> None:
        async def probe() -> bool:
            return await state(store) == expected

        await eventually(probe, within_s=5)

    async with operator(place) as (nodes, store), runtime, runtime.work({"mail": 2}):
        row = await only(store)
        await nodes.ask(row, "pause", timeout_s=5)
        await becomes(store, "paused")
        await nodes.ask(row, "resume", timeout_s=5)
        await becomes(store, "ready")
        await nodes.ask(row, "drain", timeout_s=5)
        await becomes(store, "draining")
