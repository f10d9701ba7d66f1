"""Lets control messages in over the link: a node is an endpoint of its own, by its boot id.

The store's table of control messages is there on every store, and remains the way that always leads there. The link is
the shorter one, and leads to a node that cannot reach its store. What is asked goes by one id over both ways, so a node
that hears of it twice does it once.
"""

from __future__ import annotations

from ..kernel.transport.port import Inbox, Link
from .door import Door
from .node import NodeParts


def endpoint_of(boot_id: bytes) -> str:
    """The name under which a node is reached."""
    return f"node:{boot_id.hex()}"


class NodeDoor(Door):
    """Serves this node's endpoint as long as the node works. A link that does not answer is tried again, in silence."""

    def __init__(self, link: Link, *, node: NodeParts) -> None:
        super().__init__(endpoint_of(node.boot_id), link=link, incarnation=1)

    def inbox(self, path: str) -> Inbox:
        """The controls' alone: nothing else of a node is reached from outside."""
        return self.context.ref("(nothing below a node)" if path else "controls").inbox

    @property
    def is_wanted(self) -> bool:
        """As long as the node works."""
        return True

    def refused(self, error: Exception) -> None:
        """The store leads here too."""
