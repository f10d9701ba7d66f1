"""Where a node's own lines go: to structlog in a process that uses it, else to the standard library's logging.

Importing structlog takes 0.3 s of CPU where rich is installed (it looks at it for its tracebacks): more than the rest
of a node's start. So it is never imported for these lines; the commands that own their process configure it
(`runtime/logs.py`), and a service that embeds a runtime without it finds the lines in the logging it has set up.
"""

from __future__ import annotations

import logging
import sys
from typing import Any


class NodeLog:
    """Writes a line as `log.warning("what happened", queue="mail")`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **fields: Any) -> None:
        """As it should be."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Somebody may want to know."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Somebody must know. `exc_info`: the exception whose traceback is to be shown."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        structlog = sys.modules.get("structlog")
        if structlog is not None:
            getattr(structlog.get_logger(self._name), level)(event, **fields)
            return
        error = fields.pop("exc_info", None)
        shown = " ".join(f"{name}={value}" for name, value in fields.items())
        logger = logging.getLogger(self._name)
        logger.log(getattr(logging, level.upper()), "%s", f"{event} {shown}".rstrip(), exc_info=error)
