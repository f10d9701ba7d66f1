"""A node that starts while its server is away, or whose connections end while it starts, is ready in the end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from callboard import Runtime, Settings
from callboard.runtime.patience import patiently
from tests.faults.proxied import behind_a_proxy
from tests.faults.stage import staged
from tests.support.eventually import eventually
from tests.support.fault_proxy import FaultProxy

STORES = ["postgres", "redis"]
FEWEST_REPLIES = 5  # until a node is ready: it opens, takes notice of the schema, registers and beats
WAIT_S = 20.0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("store", STORES)
async def test_run_waits_for_a_server_without_being_told_to(store: str, tmp_path: Path) -> None:
    async with behind_a_proxy(store) as (proxy, url, through), staged(tmp_path, url, nodes_url=through) as at:
        proxy.refuse()
        node = at.spawn()
        await eventually(lambda: "waiting up to 30 s for it" in node.text() or node.exit_code is not None)
        assert node.exit_code is None, node.tail()

        proxy.heal()

        await asyncio.to_thread(node.wait_ready)
        handle = await at.enqueue("ends_well")
        await handle.result(timeout=WAIT_S)
        assert "Traceback" not in node.text()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", STORES)
async def test_a_node_whose_nth_reply_is_lost_starts_all_the_same(store: str, tmp_path: Path) -> None:
    """The server did what it was asked, and the connection ended: at each step of the start in turn."""
    async with behind_a_proxy(store) as (proxy, url, through):
        async with Runtime(url, migrate=True):
            pass
        said: list[str] = []
        nth = 0
        while await is_hit_while_it_starts(proxy, through, nth, said):
            nth += 1
        print(f"{nth} replies were lost in turn, {len(said)} of them while the store was opened")
        assert nth >= FEWEST_REPLIES
        assert 0 < len(said) < nth  # some were lost by opening, others by what starts after it


async def is_hit_while_it_starts(proxy: FaultProxy, url: str, nth: int, said: list[str]) -> bool:
    """Start a node as `run` does while that reply is lost, and let it run a job; whether it came to that reply."""
    runtime = Runtime(url, settings=Settings(lease="2s", grace="5s"))

    @runtime.job
    async def answers(number: int) -> int:
        return number

    dropped = proxy.dropped
    proxy.drop_reply(after=nth)
    async with AsyncExitStack() as opened:
        await patiently(lambda: opened.enter_async_context(runtime), wait_s=WAIT_S, tell=said.append)
        await opened.enter_async_context(runtime.work())
        was_hit = proxy.dropped > dropped
        proxy.heal()
        assert await (await answers.enqueue(nth)).result(timeout=WAIT_S) == nth
    return was_hit
