"""A node's log lines: one shape for structlog and logging, with the attempt that wrote them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import pytest
import structlog

from callboard.runtime.logs import LogFormat, configure_logging


@dataclass(frozen=True)
class Attempt:
    id: str
    name: str = "send"
    queue: str = "mail"
    attempt: int = 1


CURRENT: ContextVar[Attempt | None] = ContextVar("current", default=None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    CURRENT.set(None)


def configured(log_format: LogFormat, stream: io.StringIO | None = None) -> io.StringIO:
    stream = io.StringIO() if stream is None else stream
    configure_logging(log_format, current=CURRENT.get, stream=stream)
    return stream


def objects(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_of_structlog_and_logging_carry_the_current_attempt() -> None:
    stream = configured(LogFormat.JSON)
    CURRENT.set(Attempt("0197", attempt=3))

    structlog.get_logger("mine").info("sent", to=4)
    logging.getLogger("lib").warning("slow by %s s", 2)

    sent, slow = objects(stream)
    assert (sent["event"], sent["to"], sent["logger"], sent["level"]) == ("sent", 4, "mine", "info")
    assert (slow["event"], slow["logger"], slow["level"]) == ("slow by 2 s", "lib", "warning")
    for line in (sent, slow):
        assert (line["job_id"], line["job"], line["attempt"]) == ("0197", "send", 3)
        assert str(line["timestamp"]).endswith("Z")


def test_lines_outside_an_attempt_carry_none() -> None:
    stream = configured(LogFormat.JSON)

    logging.getLogger("lib").info("up")

    assert set(objects(stream)[0]) == {"timestamp", "level", "event", "logger"}


async def test_attempts_side_by_side_keep_their_own_identity() -> None:
    stream = configured(LogFormat.JSON)

    def in_thread() -> None:
        logging.getLogger("lib").info("thread")

    async def attempt(job_id: str) -> None:
        CURRENT.set(Attempt(job_id))
        await asyncio.to_thread(in_thread)
        structlog.get_logger().info("loop")

    await asyncio.gather(attempt("a"), attempt("b"))

    assert sorted((str(line["event"]), str(line["job_id"])) for line in objects(stream)) == [
        ("loop", "a"),
        ("loop", "b"),
        ("thread", "a"),
        ("thread", "b"),
    ]


def test_a_line_that_names_another_job_keeps_its_word() -> None:
    stream = configured(LogFormat.JSON)
    CURRENT.set(Attempt("mine"))

    structlog.get_logger().warning("lease lost", job_id="other")

    assert objects(stream)[0]["job_id"] == "other"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_shows_no_local_variables(log_format: LogFormat) -> None:
    stream = configured(log_format)

    def handler(token: str) -> None:
        raise KeyError(len(token))

    try:
        handler("-".join(["se", "cret"]))
    except KeyError:
        structlog.get_logger().exception("failed")
        logging.getLogger("lib").exception("failed too")

    text = stream.getvalue()
    assert text.count("Traceback (most recent call last)") == 2
    assert "KeyError: 7" in text
    assert "se-cret" not in text


def test_a_json_line_stays_one_line_whatever_is_logged() -> None:
    stream = configured(LogFormat.JSON)

    structlog.get_logger().info("two\nlines", value=object(), blob=b"\x00\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)

    first, second = objects(stream)
    assert first["event"] == "two\nlines"
    assert "careful" in str(second["event"])


def test_debug_lines_are_left_out() -> None:
    stream = configured(LogFormat.CONSOLE)

    structlog.get_logger().debug("no")
    logging.getLogger("lib").debug("no")

    assert stream.getvalue() == ""


@pytest.mark.parametrize(("stream", "coloured"), [(io.StringIO(), False), (Terminal(), True)])
def test_only_a_terminal_gets_colours(stream: io.StringIO, coloured: bool) -> None:
    configured(LogFormat.CONSOLE, stream)

    structlog.get_logger().info("hello")

    assert "hello" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_importing_callboard_configures_no_logging() -> None:
    code = (
        "import logging, structlog, callboard, callboard.runtime.logs; "
        "print(logging.getLogger().handlers, structlog.is_configured())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "[] False"
