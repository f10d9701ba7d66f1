"""What the store asks the machine: since when it runs, how much room is left, on what file system a file lies.

A class, so that a test can stand in for a machine that was started anew or whose disk is full.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ...kernel.clock import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS = Path("/proc/self/mounts")
_UNKNOWN_BOOT_S = 300

# Where a lock or a shared memory map does not reach other machines, or not at all.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gfs2", "beegfs", "glusterfs", "davfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.ceph", "fuse.davfs2", "fuse.rclone", "fuse.gcsfuse"}
)


class Host:
    """This machine."""

    def boot_id(self, clock: Clock) -> str:
        """Names this run of the machine: leases by the monotonic clock mean nothing in the next one.

        Where the kernel gives no id, the time of its start stands for it, to five minutes; a wall clock set further
        than that between two starts of a node then ends leases too early, which costs a second attempt and no more.
        """
        try:
            return _BOOT_ID.read_text("ascii").strip()
        except OSError:
            started = clock.wall_ms() / 1000 - clock.monotonic()
            return f"started {round(started / _UNKNOWN_BOOT_S)}"

    def room_bytes(self, path: str) -> int:
        """How much the file may still grow: what its file system has free, within the size limit of this process."""
        if sys.platform == "win32":
            import shutil

            return shutil.disk_usage(os.path.dirname(path)).free
        import resource

        found = os.statvfs(os.path.dirname(path))
        room = found.f_bavail * found.f_frsize
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit == resource.RLIM_INFINITY:
            return room
        return min(room, limit - max(file_size(path), file_size(f"{path}-wal")))

    def file_system(self, path: str) -> str:
        """The type of the file system that holds `path`; empty where the machine does not say."""
        try:
            return file_system_of(path, _MOUNTS.read_text("utf-8", "surrogateescape"))
        except OSError:
            return ""


def file_system_of(path: str, mounts: str) -> str:
    """The type of the mount that holds an absolute `path`, by a table as in /proc/mounts. The last of equals wins."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, mount, found, *_ = line.split(" ")
        mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount)
        holds = mount == "/" or path == mount or path.startswith(mount.rstrip("/") + "/")
        if holds and len(mount) >= best:
            best, kind = len(mount), found
    return kind


def file_size(path: str) -> int:
    """Its bytes; 0 for a file that is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
