"""Singletons: actors of which the cluster has one, on the node that holds the role `singleton:NAME`.

The role's duty is the actor itself and, where there is a link between the nodes, a door to its right that lets messages
from other nodes in. The door opens last and closes first. Its incarnation is the term, so that a link which sees two
doors for one name lets the greater term have the messages.

When something fails: the actor crashes, and is restarted by its supervisor with its mailbox kept; it crashes without
end, and the role goes to another node (`leader.py`). The link does not answer, and the door tries again while the actor
serves its own node. The store does not answer: the term ends, and with it the door, whatever the link does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel.child import ChildSpec
from ..kernel.errors import IncarnationOver
from ..kernel.transport.port import Inbox, Link
from .door import Door
from .node import NodeParts
from .tenure import Tenure

PREFIX = "singleton:"


def role_of(name: str) -> str:
    """The role by which a singleton is held."""
    return f"{PREFIX}{name}"


def path_of(name: str, number: int) -> str:
    """Where the singleton runs on its node, in the term of that number."""
    return f"roles/{role_of(name)}/term-{number}/{name}"


def singleton_duty(spec: ChildSpec, tenure: Tenure, node: NodeParts, link: Link | None) -> Sequence[ChildSpec]:
    """What the role of a singleton is held for."""
    if link is None:
        return [spec]
    door = {"link": link, "tenure": tenure, "node": node}
    return [spec, ChildSpec(SingletonDoor, id="(door)", args=(spec.id,), kwargs=door)]


class SingletonDoor(Door):
    """Lets messages from other nodes in to the singleton `name`, for one term."""

    def __init__(self, name: str, *, link: Link, tenure: Tenure, node: NodeParts) -> None:
        super().__init__(name, link=link, incarnation=tenure.term.number)
        self._name = name
        self._tenure = tenure
        self._node = node
        self._has_said = False

    def inbox(self, path: str) -> Inbox:
        """The singleton's, in this term, or one below it."""
        below = f"/{path}" if path else ""
        return self.context.ref(path_of(self._name, self._tenure.term.number) + below).inbox

    @property
    def is_wanted(self) -> bool:
        """While the term runs; who is overtaken after it is so in good order."""
        return self._tenure.is_trusted

    def refused(self, error: Exception) -> None:
        """Said once, while the term runs; after it there is nothing to open."""
        if not self.is_wanted:
            raise error
        if self._has_said:
            return
        self._has_said = True
        what = "the link does not answer for a singleton"
        if isinstance(error, IncarnationOver):
            what = "the link has had greater terms than the store: is its ?namespace= another cluster's?"
        self._node.log.warning(what, name=self._name, error=str(error))
