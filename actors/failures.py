"""An exception as text that is safe to store, whatever the exception does."""

from __future__ import annotations

import traceback

from ..storage.records import ErrorRecord

MAX_MESSAGE_BYTES = 8 * 1024
MAX_TRACEBACK_BYTES = 55 * 1024
MAX_KIND_CHARS = 256  # all three together at most 64 KiB
_ELSEWHERE = "__callboard_record__"


def describe(error: BaseException) -> ErrorRecord:
    """Kind, message and traceback of `error`, its causes and, in a group, its members. Never raises.

    `kind` is the class's qualified name with its module, for built-in exceptions without. Text that is too long keeps
    its head and its tail; lone surrogates and NULs, which stores refuse, are replaced. A `__str__` that raises or
    gives no text is named in the message.
    """
    elsewhere = vars(error).get(_ELSEWHERE)
    if isinstance(elsewhere, ErrorRecord):
        return elsewhere
    return ErrorRecord(kind_of(type(error)), capped(_message(error), MAX_MESSAGE_BYTES), _traceback(error))


def as_described_elsewhere(error: BaseException, record: ErrorRecord) -> BaseException:
    """`error`, which `describe` now describes by `record`: it was raised where its traceback means something."""
    vars(error)[_ELSEWHERE] = record
    return error


def record(kind: str, message: str) -> ErrorRecord:
    """A failure that no exception stands for."""
    return ErrorRecord(kind, capped(message, MAX_MESSAGE_BYTES), "")


def kind_of(cls: type[BaseException]) -> str:
    """`ValueError`, `json.decoder.JSONDecodeError`, `app.Declined`."""
    module = cls.__module__
    name = cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"
    return _clean(name[:MAX_KIND_CHARS])


def capped(text: str, max_bytes: int) -> str:
    """`text` in at most `max_bytes` of UTF-8: its first and last part where it is longer.

    Lone surrogates and NULs, which stores refuse, are replaced.
    """
    cleaned = _clean(text if len(text) <= 2 * max_bytes else text[:max_bytes] + text[-max_bytes:])
    size = len(text) if len(text) > 2 * max_bytes else len(cleaned.encode())
    if size <= max_bytes:
        return cleaned
    gap = f"\n... {size - max_bytes} more ...\n"
    room = (max_bytes - len(gap)) // 2
    raw = cleaned.encode()
    return raw[:room].decode(errors="ignore") + gap + raw[-room:].decode(errors="ignore")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # even SystemExit from a __str__ must not take the node down
        return f"<its __str__ raised {type(broken).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error)
        return capped("".join(lines), MAX_TRACEBACK_BYTES)
    except BaseException as broken:  # such as a cause chain that loops through hand-made properties
        return f"<the traceback cannot be formatted: {type(broken).__name__}>\n"


def _clean(text: str) -> str:
    return str.encode(text, "utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
