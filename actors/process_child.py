"""What runs in a handler's process: calls in frames on its pipes, answers back, until the node closes them or is gone.

The other end is `processes.py`. Nothing but names and encoded bytes goes across. What a handler prints goes where the
node's own errors go.
"""

from __future__ import annotations

import functools
import importlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO

from ..kernel.codec import decode, encode
from ..kernel.signals import HANDLED
from .definition import JobDefinition, ResultNotStorable, ResultTooLarge, define, import_function
from .outcome import Cancel, Discard, RetryAfter, Snooze
from .raised import told

MAX_FRAME_BYTES = 8 * 1024 * 1024  # a payload or a result at its limit, and what goes with it
MAIN = "__main__"
_LOOK_AT_PARENT_S = 0.5


def main() -> None:
    """Serve calls until the pipe is closed."""
    calls, answers = _take_pipes()
    hello = read_frame(calls)
    if hello is None:
        return
    parent, program = hello
    _end_with(parent)
    while (call := read_frame(calls)) is not None:
        write_frame(answers, _answer(program, *call))


def read_frame(stream: BinaryIO) -> Any:
    """The next frame's content, or None where the stream ends, be it within a frame."""
    size = int.from_bytes(stream.read(4), "big")
    content = stream.read(size) if size else b""
    return decode(content, max_bytes=MAX_FRAME_BYTES) if size and len(content) == size else None


def write_frame(stream: BinaryIO, content: list[Any]) -> None:
    """Write one frame and flush. Raises `OSError` if nobody reads."""
    encoded = encode(content)
    stream.write(len(encoded).to_bytes(4, "big") + encoded)
    stream.flush()


# Steps


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the node, out of the way of handlers: they read nothing, and print to the node's stderr."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return calls, answers


def _end_with(parent: int) -> None:
    """See to it that this process ends when its node says so or has ended, and not otherwise.

    A signal for the whole group (Ctrl-C, a service manager) drains the node, which gives its handlers their grace. A
    node that was killed must leave nothing running: what runs here is another node's by then, and the pipe that would
    tell is looked at between two calls only.
    """

    def watch() -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(_LOOK_AT_PARENT_S)
        os._exit(1)

    for number in HANDLED:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which what a handler starts would inherit
    threading.Thread(target=watch, name="callboard parent watch", daemon=True).start()


def _answer(program: list[str], reference: str, name: str, payload: bytes, identity: dict[str, Any]) -> list[Any]:
    """Run one call. Whatever a handler raises is an answer, too; only what ends the process is none."""
    try:
        definition = _definition(tuple(program), reference, name)
        args, kwargs = definition.decode_call(payload)
        _name_log_lines(identity)
        value = definition.fn(*args, **kwargs)
        match value:
            case Snooze(seconds=seconds):
                return ["snooze", seconds]
            case RetryAfter(seconds=seconds):
                return ["retry_after", seconds]
            case Cancel(reason=reason):
                return ["cancel", reason]
            case Discard(reason=reason):
                return ["discard", reason]
        return ["value", definition.encode_result(value)]
    except (ResultTooLarge, ResultNotStorable) as error:
        return ["no_result", *told(error)]
    except BaseException as error:  # SystemExit, too: it fails the attempt, as in a thread
        return ["raised", *told(error)]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


@functools.cache  # by reference, so that a signature is worked out once for all of its jobs here
def _definition(program: tuple[str, str], reference: str, name: str) -> JobDefinition:
    module, _, path = reference.partition(":")
    function: Callable[..., Any]
    if module == MAIN:
        _load_program(*program)
    function = import_function(f"{module}:{path}")
    return define(function, name=name, process=True)


def _load_program(kind: str, where: str) -> None:
    """Make the node's own program this one's `__main__`, under another name, so that it does not start a node again."""
    if kind == "module":
        loaded = importlib.import_module(where)
    else:
        loaded = ModuleType("__mp_main__")  # the name that multiprocessing gives it, and guards expect
        loaded.__dict__.update(runpy.run_path(where, run_name="__mp_main__"))
    sys.modules[MAIN] = sys.modules["__mp_main__"] = loaded


def _name_log_lines(identity: dict[str, Any]) -> None:
    """Have structlog's lines carry the job's id, name and attempt, as on the node's own loop."""
    if "structlog" in sys.modules:
        import structlog

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**identity)
