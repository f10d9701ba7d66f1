"""What a node's row says of it. Nodes of other versions may say less, or in words of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...storage.records import Node

LOST = "lost"


def report_of(node: Node) -> dict[str, Any]:
    """What the node last said of itself; empty before its first word, or if it speaks another version's language."""
    from .describe import stored_value

    said = stored_value(node.report)
    return said if isinstance(said, dict) else {}


def is_alive(node: Node, now_ms: int, lease_s: float) -> bool:
    """Whether the node renewed its row within its lease; `lease_s` is for one that does not say how long that is."""
    own_s = report_of(node).get("lease_s")
    return now_ms - node.seen_at <= (own_s if isinstance(own_s, int | float) else lease_s) * 1000


def state_of(node: Node, now_ms: int, lease_s: float) -> str:
    """ "ready", "paused", "draining", "storage_reset"; "starting" before its first word, "lost" for one not seen."""
    if not is_alive(node, now_ms, lease_s):
        return LOST
    report = report_of(node)
    if isinstance(said := report.get("state"), str):
        return said
    return "draining" if report.get("is_draining") else "ready" if report else "starting"


def slots_of(node: Node) -> int:
    """How many jobs it runs at once, over all its queues."""
    queues = report_of(node).get("queues")
    return sum(slots for slots in queues.values() if isinstance(slots, int)) if isinstance(queues, dict) else 0


def executing_of(node: Node) -> int:
    """How many jobs it has leased."""
    count = report_of(node).get("executing")
    return count if isinstance(count, int) else 0
