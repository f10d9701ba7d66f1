"""Redis's errors as the store's own."""

from __future__ import annotations

import re

from redis import exceptions as e

from ..errors import Corrupt, Full, InvalidStore, StorageError, StorageReset, TermOver, Unavailable
from ..role import Term

# By the first word of the answer; the server will be able to again.
# Redis 6 wraps what a command answered to a script; newer ones add where at the end.
_WITHIN_SCRIPT = re.compile(r"^Error running script \(call to \w+\): (?:@\w+: ?\d+: )*-?")
_PASSING = (
    "BUSY",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MISCONF",
    "NOREPLICAS",
    "UNKILLABLE",
)
_NOT_ALLOWED = (
    e.AuthenticationError,
    e.AuthenticationWrongNumberOfArgsError,
    e.AuthorizationError,
    e.NoPermissionError,
)
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")


def translate(error: Exception, where: str, *, is_new_work: bool = False, fence: Term | None = None) -> StorageError:
    """What an error of the client or of the server means to a caller."""
    text = _WITHIN_SCRIPT.sub("", str(error).strip()) or type(error).__name__
    word = text.split(" ", 1)[0]
    if isinstance(error, e.OutOfMemoryError) or word == "OOM":
        if is_new_work:
            return Full(f"{where} has used its maxmemory: no new jobs are taken until jobs are pruned or it gets more")
        return Unavailable(f"{where} has used its maxmemory: {text}")
    if fence is not None and "TERM_OVER" in text:
        return TermOver(fence)
    if "STORAGE_RESET" in text:
        return StorageReset(f"{where} was emptied or replaced")
    if isinstance(error, _NOT_ALLOWED) or word in _REFUSED:
        return InvalidStore(f"{where} refused the user or the password: {text}")
    if isinstance(error, e.MovedError):
        return InvalidStore(
            f"{where} does not hold this namespace, the cluster's node {error.host}:{error.port} does: name that one"
        )
    if isinstance(error, e.ReadOnlyError) or word == "READONLY":
        return Unavailable(f"{where} is a replica, expected the primary: name that server")
    if isinstance(error, e.ResponseError) and not isinstance(error, e.ClusterError | e.TryAgainError):
        if word in _PASSING:
            return Unavailable(f"{where} does not serve for the moment: {text}")
        return Corrupt(f"{where} holds what is no job of this version, or something else under this namespace: {text}")
    return Unavailable(f"{where} does not answer: {text}")
