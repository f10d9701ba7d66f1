"""What SQLite reports, told as the store's own errors, each with the file's path and what to do."""

from __future__ import annotations

import sqlite3

from ..errors import Corrupt, Full, InvalidStore, StorageError, Unavailable

# A full file system says FULL; a file size limit or a quota says IOERR_WRITE; a full tmpfs also SHMSIZE.
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"})
_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"})
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"})


def error_name(error: BaseException) -> str:
    """SQLite's name of what went wrong, with its finer part: `SQLITE_IOERR_WRITE`; empty for other errors."""
    return getattr(error, "sqlite_errorname", None) or ""


def is_busy(error: sqlite3.Error) -> bool:
    """Another connection holds a lock."""
    return _matches(error, _BUSY)


def is_full(error: sqlite3.Error) -> bool:
    """There is no room for another page."""
    return error_name(error) in _NO_ROOM


def is_damaged(error: sqlite3.Error) -> bool:
    """The file does not hold what it should."""
    return _matches(error, _DAMAGED)


def damaged(path: str, found: str) -> Corrupt:
    """The one line for a file that fails its check."""
    return Corrupt(
        f"{path} is damaged ({found}); it was left untouched: restore a backup, or save what can be read with "
        f"`sqlite3 {path} .recover`"
    )


def translate(error: BaseException, path: str, *, is_new_work: bool = False, is_opening: bool = False) -> BaseException:
    """The store's error for SQLite's; errors that are not SQLite's come back as they are."""
    if isinstance(error, StorageError) or not isinstance(error, sqlite3.Error):
        return error
    told = _told(error, path, is_new_work=is_new_work, is_opening=is_opening)
    told.__cause__ = error
    return told


def no_room(path: str, found: str) -> Full:
    """The one line for new jobs that found no room."""
    return Full(f"{path} takes no new jobs: {found}; jobs still run and finish, free some space and enqueue again")


def _told(error: sqlite3.Error, path: str, *, is_new_work: bool, is_opening: bool) -> StorageError:
    if is_full(error):
        return (
            no_room(path, "the disk is full") if is_new_work else Unavailable(f"{path} cannot grow: the disk is full")
        )
    if is_damaged(error):
        return damaged(path, str(error))
    if is_busy(error):
        return Unavailable(f"{path} is locked by another process: {error}")
    if error_name(error).startswith("SQLITE_READONLY"):
        text = f"{path} cannot be written: {error}; give the process write access to file and folder"
        return InvalidStore(text) if is_opening else Unavailable(text)  # under a running node it may be given again
    if isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError) and "binding parameter" in str(error):
        # Asking again would fail the same way for ever, and with it all who wait behind.
        return StorageError(f"{path} cannot hold a value that it was given: {error}")
    return Unavailable(f"{path} did not answer: {error_name(error) or type(error).__name__}: {error}")


def _matches(error: sqlite3.Error, names: frozenset[str]) -> bool:
    # Extended names such as SQLITE_BUSY_RECOVERY begin with the plain one.
    name = error_name(error)
    return any(name == plain or name.startswith(f"{plain}_") for plain in names)
