"""What commands that ask nodes for something share: which node is meant, and how long its answer is waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .. import operate
from ..failures import WrongUse

if TYPE_CHECKING:
    from ....storage.ports.store import Store
    from ....storage.records import Node
    from ...asking import Asking

NodeArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="NODE", help="Its id, the beginning of its id, or host:pid.", show_default=False)
]
TimeoutOption: TypeAlias = Annotated[
    str, typer.Option("--timeout", metavar="SECONDS", help="How long the node's answer is waited for.")
]
TIMEOUT = "10"


@asynccontextmanager
async def nodes_of(place: operate.Place) -> AsyncIterator[tuple[Store, Asking]]:
    """The store, open, and the way to ask its nodes."""
    from ...asking import asking

    async with operate.opened(place) as store, asking(store) as nodes:
        yield store, nodes


async def node_called(nodes: Asking, name: str) -> Node:
    """The node that was typed. Raises `WrongUse`, with the known ones."""
    from ...asking import UnknownNode

    try:
        return await nodes.find(name)
    except UnknownNode as error:
        raise WrongUse(str(error)) from None
