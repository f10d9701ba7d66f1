"""The supervision tree of a node, in one function: read this first.

    node                 one_for_one: refs survive restarts, so a restart of one leaves running attempts alone
    |- store             storage/actor.py       commits for all; an outage is a state, never a crash
    |- claims, ends      the same again         where the store takes claims, ends and the rest side by side
    |- wakeups           actors/wakeups.py      hints: in process, and from other processes
    |- results           actors/results.py      waits for jobs to end, for all who wait in this process
    |- membership        actors/membership.py   node row, heartbeat thread, lost and cancelled leases
    |- controls          actors/controls.py     what operators ask of this node
    |- door              actors/node_door.py    the same over the link, where there is one
    |- queues            one subtree per queue; one that spends its restarts is parked and tried again with back-off
    |  `- mail
    |     |- worker      actors/worker.py       runs attempts, closes them
    |     `- dispatcher  actors/dispatcher.py   claims
    |- rescuer           actors/rescuer.py      expired leases, on every node
    `- roles             one subtree per role that nodes hold by lease, one at a time
       `- janitor
          |- leader      actors/leader.py       campaigns, renews, resigns
          `- term-7      while this node holds the role
             `- janitor  actors/janitor.py      retention; of a singleton's role the actor itself, and its door

What stands above membership is there as soon as a runtime is open; the rest comes when it works. A job's way goes on in
`storage/actor.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ..actors.controls import Controls, Hands
from ..actors.dispatcher import Dispatcher
from ..actors.duty import Duty
from ..actors.janitor import Janitor
from ..actors.leader import Leader
from ..actors.membership import Membership
from ..actors.node import NodeParts
from ..actors.node_door import NodeDoor
from ..actors.rescuer import Rescuer
from ..actors.results import Results
from ..actors.singleton import role_of, singleton_duty
from ..actors.tenure import Tenure
from ..actors.wakeups import Wakeups
from ..actors.worker import Worker
from ..kernel.child import ChildSpec
from ..kernel.intensity import Backoff
from ..kernel.supervisor import Supervisor
from ..kernel.transport.port import Link
from ..storage.actor import StorageActor, StoreHealth
from ..storage.ports.roles import RoleStore
from ..storage.ports.store import Store
from .settings import Settings

WRITES_WAITING = 65_536  # callers that may wait for a commit before a tell has to wait for room
HINTS_WAITING = 4096
LOOK_S = 1.0  # for a look that is under way: what was not answered is told by the node's end
STOP_S = 10.0  # a worker that is stopped interrupts, hands back and flushes well below it


def tree(
    node: NodeParts,
    store: Store,
    health: StoreHealth,
    settings: Settings,
    version: str,
    queues: Mapping[str, int] | None = None,
    hands: Hands | None = None,
    singletons: Iterable[ChildSpec] = (),
    link: Link | None = None,
) -> list[ChildSpec]:
    """The root's children, left to right as they start: of a client, or with `queues` (name -> slots) of a node.

    `hands` is what a node does and says of itself.
    """
    commits = {"boot_id": node.boot_id, "health": health, "rng": node.rng, "commits": "wakeups"}
    client = [
        *(
            ChildSpec(StorageActor, id=lane, args=(store,), kwargs=commits, mailbox=WRITES_WAITING, shutdown=STOP_S)
            for lane in dict.fromkeys((node.lanes.work, node.lanes.claims, node.lanes.ends))
        ),
        ChildSpec(Wakeups, id="wakeups", args=(store.wakeups,), mailbox=HINTS_WAITING),
        ChildSpec(Results, id="results", args=(store.jobs,), mailbox=WRITES_WAITING),
    ]
    if queues is None:
        return client
    assert hands is not None
    member = {"node": node, "version": version, "report": hands.report}
    parking = {"strategy": "one_for_one", "max_restarts": None, "backoff": Backoff(1.0, 2.0, 60.0)}
    return [
        *client,
        ChildSpec(Membership, id="membership", args=(store,), kwargs=member, shutdown=STOP_S),
        ChildSpec(
            Controls, id="controls", args=(store.controls,), kwargs={"node": node, "hands": hands}, shutdown=LOOK_S
        ),
        *([] if link is None else [ChildSpec(NodeDoor, id="door", args=(link,), kwargs={"node": node})]),
        ChildSpec(Supervisor, id="queues", args=(queue_specs(node, queues),), kwargs=parking),
        ChildSpec(Rescuer, id="rescuer", kwargs={"node": node}),
        ChildSpec(Supervisor, id="roles", args=(_roles(node, store, settings, singletons, link),), kwargs=parking),
    ]


def queue_specs(node: NodeParts, queues: Mapping[str, int]) -> list[ChildSpec]:
    """One child of `queues` for each queue (name -> slots)."""
    return [_queue(queue, slots, node) for queue, slots in queues.items()]


def _queue(queue: str, slots: int, node: NodeParts) -> ChildSpec:
    """One queue's subtree. The dispatcher stops first, so that nothing is claimed for a worker that is gone."""
    box: Any = {"mailbox": HINTS_WAITING, "shutdown": STOP_S}
    pair = [
        ChildSpec(Worker, id="worker", args=(queue,), kwargs={"slots": slots, "node": node}, **box),
        ChildSpec(Dispatcher, id="dispatcher", args=(queue,), kwargs={"node": node}, **box),
    ]
    restarts = {"strategy": "one_for_one", "max_restarts": 5, "within": 10.0}
    return ChildSpec(Supervisor, id=queue, args=(pair,), kwargs=restarts)


def _roles(
    node: NodeParts, store: Store, settings: Settings, singletons: Iterable[ChildSpec], link: Link | None
) -> list[ChildSpec]:
    def tidy(tenure: Tenure) -> list[ChildSpec]:
        given = {"node": node, "retention_s": settings.retention_s, "tenure": tenure}
        return [ChildSpec(Janitor, id="janitor", args=(store,), kwargs=given)]

    duties: dict[str, Duty] = {"janitor": tidy}
    for spec in singletons:
        duties[role_of(spec.id)] = partial(singleton_duty, spec, node=node, link=link)
    lease_s = settings.leader_lease_s
    return [role_spec(role, duty, node, store.roles, lease_s=lease_s) for role, duty in duties.items()]


def role_spec(role: str, duty: Duty, node: NodeParts, roles: RoleStore, *, lease_s: float) -> ChildSpec:
    """One role's subtree. A leader that crashes takes its duty with it, which stands to its right."""
    given = {"node": node, "lease_s": lease_s, "duty": duty}
    leader = ChildSpec(Leader, id="leader", args=(role, roles), kwargs=given, shutdown=lease_s + STOP_S)
    restarts = {"strategy": "rest_for_one", "max_restarts": 5, "within": 10.0}
    return ChildSpec(Supervisor, id=role, args=([leader],), kwargs=restarts)
