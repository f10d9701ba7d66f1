"""Says where a task waits, for messages about tests that stand still."""

from __future__ import annotations

import asyncio
from typing import Any


def where(task: asyncio.Task[Any]) -> str:
    """ "file.py:12 in name" of the innermost coroutine that `task` awaits; of Python code only."""
    awaited: Any = task.get_coro()
    frame = None
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    if frame is None:
        return "a place that is not known"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
