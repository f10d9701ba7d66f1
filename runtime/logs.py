"""What a node process writes about itself: structlog and the standard library's logging through one set of processors.

Only the commands that own their process (`callboard run`, `callboard cluster`) call `configure_logging`. A service
that embeds a `Runtime` keeps its own logging untouched. Whoever writes while an attempt is current, be it with
structlog, `logging` or `ctx.logger`, in the loop or in a handler's thread, gets the attempt's identity on the line:
a context variable tells it, so no handler has to pass a logger along. Job arguments are never part of a line: nothing
here puts them there, and tracebacks are printed without the values of local variables.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class LogFormat(StrEnum):
    """How a line looks."""

    CONSOLE = "console"  # for people; coloured on a terminal only
    JSON = "json"  # one object a line


class CurrentAttempt(Protocol):
    """What a line needs to know of the attempt that is running."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def attempt(self) -> int: ...


def configure_logging(
    log_format: LogFormat,
    *,
    current: Callable[[], CurrentAttempt | None],
    stream: TextIO | None = None,
    level: int = logging.INFO,
) -> None:
    """Send every log line of this process to `stream` (default stderr), each with the `current` attempt's identity.

    Replaces the handlers of the root logger and structlog's configuration; calling it again replaces them again.
    """
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _attempt_adder(current),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(log_format, target)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)  # a warning printed past the handler would break a stream of JSON lines
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers that user modules made at import follow a later configuration
    )


def _attempt_adder(current: Callable[[], CurrentAttempt | None]) -> Processor:
    def add_attempt(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        attempt = current()
        if attempt is not None:
            # What the line says itself stands: a supervisor may speak of another job than the current one.
            event_dict.setdefault("job_id", attempt.id)
            event_dict.setdefault("job", attempt.name)
            event_dict.setdefault("attempt", attempt.attempt)
        return event_dict

    return add_attempt


def _renderers(log_format: LogFormat, target: TextIO) -> Sequence[Processor]:
    if log_format is LogFormat.JSON:
        return [structlog.processors.format_exc_info, _put_head_first, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=target.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables
            sort_keys=False,
        )
    ]


def _put_head_first(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    head = {key: event_dict.pop(key) for key in ("timestamp", "level", "event", "logger") if key in event_dict}
    return {**head, **event_dict}
