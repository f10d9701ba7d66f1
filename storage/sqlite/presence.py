"""Which processes on the file have died: each node holds a lock on a small file of its own, which the kernel lets go of
when its process ends, however it ends.

So the leases of a killed process need not run out before its jobs go on elsewhere. It is a shortcut and no more: a
process that is stopped still holds its lock, and where a lock cannot be had (another machine's file system, no `flock`)
or a file is gone, leases decide alone, as they do on other stores. Whoever is wrongly held for dead is fenced like
anyone whose lease ran out.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".alive"


class Presence:
    """This process's own locks, and a look at those of others. Called on the event loop; no call waits."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: dict[bytes, int] = {}  # boot id -> descriptor

    def appear(self, boot_id: bytes) -> None:
        """From now on others can tell that the node of this boot id lives. No effect where locks are not to be had."""
        if boot_id in self._held or sys.platform == "win32":
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path(boot_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)  # somebody looks at it this very moment: then leases decide for this node
                self._remove(boot_id)
                return
            self._held[boot_id] = descriptor

    def leave(self, boot_ids: Iterable[bytes]) -> None:
        """These nodes are gone in order, or were found gone: nobody need look for them any more."""
        for boot_id in boot_ids:
            self._remove(boot_id)
            descriptor = self._held.pop(boot_id, None)
            if descriptor is not None:
                os.close(descriptor)

    def dead(self) -> Sequence[bytes]:
        """Boot ids of nodes whose process has ended without leaving."""
        if sys.platform == "win32":
            return ()
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(_SUFFIX)]
        except OSError:
            return ()
        found: list[bytes] = []
        for name in names:
            with contextlib.suppress(ValueError):
                boot_id = bytes.fromhex(name.removesuffix(_SUFFIX))
                if boot_id not in self._held and self._is_unlocked(boot_id):
                    found.append(boot_id)
        return found

    def close(self) -> None:
        """Let go of this process's locks; their files stay, so that what their nodes still hold is found."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _is_unlocked(self, boot_id: bytes) -> bool:
        try:
            descriptor = os.open(self._path(boot_id), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not mistake each other
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _path(self, boot_id: bytes) -> str:
        return os.path.join(self._folder, boot_id.hex() + _SUFFIX)

    def _remove(self, boot_id: bytes) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(boot_id))
