"""A cluster as its store shows it at one moment: nodes, roles, queues. Needs no node to be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..output import Column, since, span
from ..reports import executing_of, is_alive, slots_of, state_of

if TYPE_CHECKING:
    from ....storage.ports.store import Store
    from ....storage.records import Node, QueueRow
    from ....storage.role import RoleRow

SHORT = 12  # digits of an id that a table shows; any that are enough to tell nodes apart name one
Table = tuple[str, Sequence[Column], Sequence[Sequence[str]]]  # its name, columns, cells


@dataclass(frozen=True, slots=True)
class View:
    """What was read."""

    nodes: Sequence[Node]
    roles: Sequence[RoleRow]
    queues: Sequence[QueueRow]
    now_ms: int
    lease_s: float  # of nodes that do not say theirs

    def state(self, node: Node) -> str:
        """Of a node that is one of these."""
        return state_of(node, self.now_ms, self.lease_s)

    def oldest_s(self, queue: QueueRow) -> float | None:
        """How long the queue's oldest job has waited."""
        return None if queue.oldest_run_at is None else max(self.now_ms - queue.oldest_run_at, 0) / 1000


async def look(store: Store, lease_s: float) -> View:
    """The cluster now."""
    from ..operate import now_ms

    nodes = await store.nodes.list()
    roles = await store.roles.list()
    queues = await store.queues.list()
    return View(nodes, roles, queues, now_ms(store), lease_s)


def as_object(view: View) -> dict[str, object]:
    """With keys that stay: see docs/operations.md."""
    from ....storage.job import JobState

    return {
        "nodes": [
            {
                "id": node.boot_id.hex(),
                "host": node.host,
                "pid": node.pid,
                "version": node.version,
                "state": view.state(node),
                "slots": slots_of(node),
                "executing": executing_of(node),
            }
            for node in view.nodes
        ],
        "roles": [
            {
                "role": row.role,
                "holder": None if row.holder is None else row.holder.hex(),
                "term": row.number,
                "expires_in": row.expires_in_ms / 1000,
            }
            for row in view.roles
        ],
        "queues": [
            {
                "name": row.name,
                "waiting": row.counts.get(JobState.AVAILABLE, 0),
                "executing": row.counts.get(JobState.EXECUTING, 0),
                "oldest_s": view.oldest_s(row),
                "paused": row.is_paused,
            }
            for row in view.queues
        ],
    }


def summary(view: View) -> str:
    """The whole in a line."""
    from ....storage.job import JobState

    alive = [node for node in view.nodes if is_alive(node, view.now_ms, view.lease_s)]
    waiting = sum(row.counts.get(JobState.AVAILABLE, 0) for row in view.queues)
    leased = sum(row.counts.get(JobState.EXECUTING, 0) for row in view.queues)
    slots = sum(slots_of(node) for node in alive)
    oldest_s = max((seconds for row in view.queues if (seconds := view.oldest_s(row)) is not None), default=None)
    said = f"{len(alive):,} node{_s(len(alive))}, {slots:,} slot{_s(slots)}, {leased:,} job{_s(leased)} leased, "
    said += f"{waiting:,} waiting"
    return said if oldest_s is None else f"{said}, the oldest for {span(oldest_s)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def tables(view: View) -> Iterator[Table]:
    """What a person sees."""
    from ....storage.job import JobState

    yield (
        "nodes",
        [
            Column("NODE"),
            Column("HOST:PID"),
            Column("VERSION"),
            Column("STATE", is_state=True),
            Column("SLOTS", is_number=True),
            Column("EXECUTING", is_number=True),
            Column("UP", is_number=True),
            Column("SEEN"),
        ],
        [
            [
                node.boot_id.hex()[:SHORT],
                f"{node.host}:{node.pid}",
                node.version,
                view.state(node),
                f"{slots_of(node):,}",
                f"{executing_of(node):,}",
                span((view.now_ms - node.started_at) / 1000),
                since(node.seen_at, view.now_ms, is_short=True),
            ]
            for node in view.nodes
        ],
    )
    yield (
        "roles",
        [Column("ROLE"), Column("HOLDER"), Column("TERM", is_number=True), Column("LEASE ENDS IN")],
        [
            [
                row.role,
                "" if row.holder is None else row.holder.hex()[:SHORT],
                str(row.number),
                "" if row.holder is None else span(row.expires_in_ms / 1000),
            ]
            for row in view.roles
        ],
    )
    yield (
        "queues",
        [
            Column("QUEUE"),
            Column("", is_state=True),
            Column("WAITING", is_number=True),
            Column("EXECUTING", is_number=True),
            Column("OLDEST"),
        ],
        [
            [
                row.name,
                "paused" if row.is_paused else "",
                f"{row.counts.get(JobState.AVAILABLE, 0):,}",
                f"{row.counts.get(JobState.EXECUTING, 0):,}",
                "" if (seconds := view.oldest_s(row)) is None else span(seconds),
            ]
            for row in view.queues
        ],
    )
