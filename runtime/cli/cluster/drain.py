"""`callboard cluster drain NODE`: a node takes no more jobs, ends those it has, and ends; with --wait until it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import operate
from ..failures import CommandFailed
from ..options import WAIT, JsonOption, StoreOption, read_seconds
from .asked import TIMEOUT, NodeArgument, TimeoutOption, node_called, nodes_of

if TYPE_CHECKING:
    from ....storage.ports.store import Store
    from ....storage.records import Node

LOOK_S = 0.2


def drain(
    node: NodeArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; code 1 if it is lost on the way.")] = False,
    timeout: TimeoutOption = TIMEOUT,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a node hand its work over and end. Under `cluster up` it stays down until the next SIGHUP."""
    from ..output import print_json, remark

    timeout_s = read_seconds(timeout, "--timeout")
    found, executing = operate.run(_drain(operate.place(store, WAIT), node, timeout_s, wait))
    name = f"{found.boot_id.hex()[:12]} ({found.host}:{found.pid})"
    if as_json:
        print_json({"id": found.boot_id.hex(), "executing": executing, "ended": wait})
    elif wait:
        remark(f"{name} has drained")
    else:
        remark(f"{name} drains; {executing} job{'' if executing == 1 else 's'} in hand")


async def _drain(place: operate.Place, name: str, timeout_s: float, is_waited: bool) -> tuple[Node, int]:
    """The node, and how many jobs it had in hand when it was asked."""
    async with nodes_of(place) as (store, nodes):
        node = await node_called(nodes, name)
        answer = await nodes.ask(node, "drain", timeout_s=timeout_s)
        if is_waited:
            await _ended(store, node)
        return node, answer.get("executing", 0)


async def _ended(store: Store, node: Node) -> None:
    """Until its row is gone, or says for two beats that it has nothing left: a service may live on after its node.

    Raises `CommandFailed` for one that dies instead.
    """
    from ....kernel.clock import SystemClock
    from ...settings import load_settings
    from ..reports import LOST, executing_of, state_of

    clock, lease_s = SystemClock(), load_settings().lease_s
    empty_since: int | None = None
    while True:
        row = next((row for row in await store.nodes.list() if row.boot_id == node.boot_id), None)
        if row is None:
            return
        state = state_of(row, operate.now_ms(store), lease_s)
        if state == LOST:
            raise CommandFailed(f"node {node.boot_id.hex()[:12]} was lost while it drained; others take its jobs over")
        if state == "draining" and executing_of(row) == 0:
            empty_since = row.seen_at if empty_since is None else empty_since
            if row.seen_at > empty_since:
                return
        await clock.sleep(LOOK_S)
