"""`callboard cluster pause NODE` and `resume NODE`: one node takes no more jobs for now; the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from .. import operate
from ..options import WAIT, JsonOption, StoreOption, WaitOption, read_seconds
from .asked import TIMEOUT, NodeArgument, TimeoutOption, node_called, nodes_of

if TYPE_CHECKING:
    from ....storage.records import Node

QueuesOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Only this queue; may be repeated. [all]")
]


def pause(
    node: NodeArgument,
    queue: QueuesOption = None,
    timeout: TimeoutOption = TIMEOUT,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Let a node take no more jobs. Those that it runs go on; it keeps its roles."""
    _switch("pause", node, queue, read_seconds(timeout, "--timeout"), operate.place(store, wait), as_json)


def resume(
    node: NodeArgument,
    queue: QueuesOption = None,
    timeout: TimeoutOption = TIMEOUT,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Let a paused node take jobs again."""
    _switch("resume", node, queue, read_seconds(timeout, "--timeout"), operate.place(store, wait), as_json)


def _switch(
    verb: str, name: str, queues: list[str] | None, timeout_s: float, place: operate.Place, as_json: bool
) -> None:
    from ..output import print_json, remark

    node, paused = operate.run(_ask(place, name, verb, queues, timeout_s))
    if as_json:
        print_json({"id": node.boot_id.hex(), "paused": paused})
        return
    said = f"paused on it: {', '.join(paused)}" if paused else "it takes jobs of all its queues"
    remark(f"{node.boot_id.hex()[:12]} ({node.host}:{node.pid}): {said}")


async def _ask(
    place: operate.Place, name: str, verb: str, queues: list[str] | None, timeout_s: float
) -> tuple[Node, list[str]]:
    body: dict[str, Any] | None = None if queues is None else {"queues": queues}
    async with nodes_of(place) as (_, nodes):
        node = await node_called(nodes, name)
        answer = await nodes.ask(node, verb, body, timeout_s=timeout_s)
        return node, list(answer.get("paused", ()))
