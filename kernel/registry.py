"""Names: which actor is at which path. A path is the ids from the root down, joined by slashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .transport.port import Inbox

if TYPE_CHECKING:
    from .children import Child


class Registry:
    """All children of one tree by path, from before the first of them starts until they are retired."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def add(self, child: Child) -> None:
        """Enter a child; it takes the place of a retired one of the same path."""
        self._children[child.path] = child

    def remove(self, child: Child) -> None:
        """Strike a child off, unless another has taken its place."""
        if self._children.get(child.path) is child:
            del self._children[child.path]

    def find(self, path: str) -> Child | None:
        """The child at `path`, running or not."""
        return self._children.get(path)

    def inbox(self, path: str) -> Inbox | None:
        """The mailbox of the child at `path`."""
        child = self._children.get(path)
        return None if child is None else child.mailbox

    def why_not(self, path: str) -> str:
        """Why nobody takes messages at `path`, in words."""
        child = self._children.get(path)
        if child is not None:
            return child.mailbox.reason or "it has stopped"
        known = ", ".join(sorted(self._children)[:10]) or "none"
        return f"no such actor (or it was removed); known: {known}"
