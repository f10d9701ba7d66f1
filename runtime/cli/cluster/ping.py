"""`callboard cluster ping [NODE]`: does a node answer, and how soon; without a name, does every node."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .. import operate
from ..failures import CommandFailed
from ..options import WAIT, JsonOption, StoreOption, WaitOption, read_seconds
from .asked import TIMEOUT, TimeoutOption, node_called, nodes_of

if TYPE_CHECKING:
    from ....storage.records import Node
    from ...asking import Asking


@dataclass(frozen=True, slots=True)
class Pong:
    """What became of one ping."""

    node: Node
    took_ms: float | None  # None: no answer
    error: str | None


def ping(
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", show_default=False)] = None,
    timeout: TimeoutOption = TIMEOUT,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Ask a node, or all, for a sign of life, by way of the store."""
    from ..output import Column, print_json, print_table, remark

    timeout_s = read_seconds(timeout, "--timeout")
    pongs = operate.run(_ping(operate.place(store, wait), node, timeout_s))
    silent = [pong for pong in pongs if pong.took_ms is None]
    if as_json:
        print_json({"ok": not silent, "nodes": [_object(pong) for pong in pongs]})
    elif pongs:
        columns = (Column("NODE"), Column("HOST:PID"), Column("ANSWERED IN", is_number=True))
        print_table(
            columns,
            [[pong.node.boot_id.hex()[:12], f"{pong.node.host}:{pong.node.pid}", _answered(pong)] for pong in pongs],
        )
    else:
        remark("no node works on this store")
    if silent:
        raise CommandFailed(silent[0].error or "") if len(silent) == 1 else CommandFailed(_several(silent, timeout_s))


async def _ping(place: operate.Place, name: str | None, timeout_s: float) -> list[Pong]:
    async with nodes_of(place) as (store, nodes):
        asked = list(await store.nodes.list()) if name is None else [await node_called(nodes, name)]
        # One after the other they would wait for each that is silent.
        return await asyncio.gather(*(_ping_one(nodes, node, timeout_s) for node in asked))


async def _ping_one(nodes: Asking, node: Node, timeout_s: float) -> Pong:
    from ....kernel.clock import SystemClock
    from ...asking import NodeRefused, NodeSilent

    clock = SystemClock()
    began = clock.monotonic()
    try:
        await nodes.ask(node, "ping", timeout_s=timeout_s)
    except (NodeSilent, NodeRefused) as error:
        return Pong(node, None, str(error))
    return Pong(node, (clock.monotonic() - began) * 1000, None)


def _object(pong: Pong) -> dict[str, object]:
    took_ms = None if pong.took_ms is None else round(pong.took_ms, 1)
    node = pong.node
    return {"id": node.boot_id.hex(), "host": node.host, "pid": node.pid, "took_ms": took_ms, "error": pong.error}


def _answered(pong: Pong) -> str:
    return "not at all" if pong.took_ms is None else f"{pong.took_ms:.0f} ms"


def _several(silent: list[Pong], timeout_s: float) -> str:
    names = ", ".join(f"{pong.node.host}:{pong.node.pid}" for pong in silent)
    return f"{len(silent)} nodes did not answer within {timeout_s:g} s: {names}"
